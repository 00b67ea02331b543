"""The configuration as one value: what config.yaml says and what the runner works from.

`catalog.build` makes it from the database, `config_yaml` reads and writes it as text. It is
plain data, so that two states can be compared, and it never holds a database row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_GROUP = "(default)"
DEFAULT_PROXY = "http://127.0.0.1:${PORT}"
DEFAULT_CHECK_ENDPOINT = "/health"

TIMEOUTS = (
    "connect",
    "keepalive",
    "responseHeader",
    "tlsHandshake",
    "expectContinue",
    "idleConn",
)
"""What `timeouts` of a model may name, as in the file."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a model takes of each device, by the engine's name for it; RAM is "CPU"."""

    planned: Mapping[str, int]
    measured: Mapping[str, int] | None = None
    """What it took the last time it was loaded like this."""
    mapped: int = 0
    """Of RAM: files that are mapped, which the kernel drops when it needs the room."""

    @property
    def devices(self) -> Mapping[str, int]:
        """Measured where it was, else planned."""
        return self.measured or self.planned


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model. `cmd` may hold ${PORT}, ${MODEL_ID} and macros; `model_id` names it."""

    model_id: str
    cmd: str = ""
    cmd_stop: str = ""
    proxy: str = DEFAULT_PROXY
    check_endpoint: str = DEFAULT_CHECK_ENDPOINT
    name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    macros: Mapping[str, str] = field(default_factory=dict)
    """Its own ones; they win over the document's."""
    ttl: int | None = None
    """Idle seconds until it is unloaded; 0 never; None the document's default."""
    unload_timeout: int | None = None
    """Seconds its engine may take to stop before it is killed; None the document's."""
    unlisted: bool = False
    use_model_name: str = ""
    concurrency_limit: int = 0
    """Requests served at once; 0 means the gateway's default."""
    queue_length: int | None = None
    """Requests that may wait; None the server's setting."""
    priority: int = 0
    """Waiting requests for models with a higher number go first."""
    pinned: bool = False
    """Loaded at start and kept loaded."""
    memory: MemoryNeed | None = field(default=None, compare=False)
    """None for a command of its own. Worked out, no part of what is configured."""
    strip_params: tuple[str, ...] = ()
    set_params: Mapping[str, Any] = field(default_factory=dict)
    """Fields every request is given, whatever the client sent; JSON values."""
    set_params_by_id: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """As `set_params`, for requests under one id only, and over it. Its ids may hold ${MODEL_ID}
    and macros; each is an id the model answers to (`config_yaml.expand` fills them in)."""
    timeouts: Mapping[str, int] = field(default_factory=dict)
    """Seconds the gateway waits for the engine, by the names in TIMEOUTS; 0: without end."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    kept_keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the file that have no effect yet; written back as they came."""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """Which members may be loaded side by side; contract of the three switches in scheduler.py."""

    name: str
    swap: bool = True
    exclusive: bool = True
    persistent: bool = False
    members: tuple[str, ...] = ()
    start_port: int | None = None


@dataclass(frozen=True, slots=True)
class ConfigDocument:
    """A whole configuration."""

    models: Mapping[str, ModelEntry] = field(default_factory=dict)
    groups: Mapping[str, GroupEntry] = field(default_factory=dict)
    macros: Mapping[str, str] = field(default_factory=dict)
    health_check_timeout: int = 300
    """Seconds an engine may take to become healthy."""
    log_level: str = "info"
    start_port: int = 8100
    download_dir: str = ""
    global_ttl: int = 0
    """Idle seconds until a model without a ttl of its own is unloaded; 0 never."""
    unload_timeout: int | None = None
    """Seconds an engine may take to stop before it is killed; None the server's own measure."""
    preload: tuple[str, ...] = ()
    virtual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that stand for one of several models, each with its members, the preferred first."""
    kept_keys: Mapping[str, Any] = field(default_factory=dict)
