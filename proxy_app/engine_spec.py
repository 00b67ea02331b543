"""What an engine is to be, and how it failed to be that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from proxy_app.guards import GRACE_SECONDS, LOG_BYTES
from proxy_app.start_failures import FailureKind

PORT = "${PORT}"
"""Stands for the engine's port in a command, its environment and its address."""

NO_CHECK = "none"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How to start one engine. Raises ValueError for what can never work."""

    model_id: str
    argv: tuple[str, ...]
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    proxy_url: str = f"http://127.0.0.1:{PORT}"
    check_endpoint: str = "/health"
    """Asked until it answers 200; `none` trusts an engine that lives for a moment."""
    start_timeout: float = 120.0
    """Seconds until it must be ready."""
    start_port: int | None = None
    """Ports are looked for from here; None: from the server's."""
    stop_grace: float = GRACE_SECONDS
    """Seconds from the first SIGTERM to SIGKILL."""
    log_bytes: int = LOG_BYTES
    api_key: str = ""
    """What its requests have to carry; empty: nothing. Only the gateway knows it."""
    working_directory: Path | None = None
    stop_argv: tuple[str, ...] = ()
    """Executed in place of the first SIGTERM, with its process id for ${PID}; empty: nothing."""
    adopt_wait: float = 0.0
    """Seconds it lives on, once ready, for another server when this one is suddenly gone."""
    fingerprint: str = ""
    """The same for two specs whose engines are the same program, started the same way."""
    may_lose_its_last_words: bool = False
    """An end without a known reason is tried once more. llama-server writes its log in a thread
    that its exit does not wait for: 4 of 300 failed loads ended without saying why."""

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError(f"the command of {self.model_id} is empty")
        url = urlsplit(self.proxy_url.replace(PORT, "1"))
        if url.scheme != "http" or not url.hostname or url.port == 0:  # a port too high raises
            raise ValueError(f"the address of {self.model_id} is not http://…: {self.proxy_url}")

    @property
    def wants_port(self) -> bool:
        """Whether a port has to be found for it."""
        return any(PORT in text for text in (*self.argv, *self.env.values(), self.proxy_url))

    def argv_on(self, port: int | None) -> tuple[str, ...]:
        return tuple(_fill(text, port) for text in self.argv)

    def stop_argv_on(self, port: int | None) -> tuple[str, ...]:
        return tuple(_fill(text, port) for text in self.stop_argv)

    def env_on(self, port: int | None) -> dict[str, str]:
        return {name: _fill(value, port) for name, value in self.env.items()}

    def url_on(self, port: int | None) -> SplitResult:
        """Where it is reached, without a trailing slash."""
        return urlsplit(_fill(self.proxy_url, port).rstrip("/"))


def _fill(text: str, port: int | None) -> str:
    return text if port is None else text.replace(PORT, str(port))


@dataclass(frozen=True, slots=True)
class EngineTimeouts:
    """The pace of watching an engine come up, in seconds."""

    poll: float = 0.01
    """Between two questions about its health."""
    answer: float = 5.0
    """For one answer; a loading engine may be slow to give it."""
    settle: float = 0.25
    """How long an engine that is not asked must live to count as up."""
    confirm: float = 0.5
    """How long an engine must live on when it cannot be told whether the answer was its own. One
    that could not bind its port has ended by then."""


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """Why an engine did not come up, or ended by itself."""

    kind: FailureKind
    reason: str
    """A sentence without its period."""
    code: int | None = None
    signal: int | None = None
    log_tail: tuple[str, ...] = ()
    """The newest lines of its output."""


class EngineStartFailed(Exception):
    """The engine did not come up; `failure` tells why."""

    def __init__(self, model_id: str, failure: EngineFailure) -> None:
        super().__init__(f"{model_id}: {failure.reason}")
        self.failure = failure


class EngineStopped(Exception):
    """The engine was told to stop while somebody waited for it to become ready."""

    def __init__(self, model_id: str) -> None:
        super().__init__(f"{model_id} was stopped while it started")
