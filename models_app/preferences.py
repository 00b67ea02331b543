"""What people want: for the whole server, and for one model. Empty means: choose for me."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.kinds import Kind
from models_app.shape import ModelShape

GPU_BACKENDS = ("cuda", "rocm", "vulkan", "metal")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The server's wishes. Contexts in tokens, memory in bytes."""

    preferred_context: int = 32768
    min_context: int = 4096
    throughput_first: bool = True
    enable_jinja: bool = True
    backend: str = ""
    vram: int | None = None
    ram: int | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person set for one model; None and "" are automatic."""

    context: int | None = None
    gpus: tuple[str, ...] = ()
    """Names or numbers of the only GPUs it may use."""
    gpu_layers: int | None = None
    cache_type: str = ""
    batch_size: int | None = None
    slots: int | None = None
    chat_template: str = ""
    """The name of one that the engine has built in, or the path of a file."""
    load_mode: str = ""
    extra_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that is loaded beside a model, as its projector is."""

    path: str
    size: int
    """Bytes it takes, its scratch memory included."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A small model that is loaded beside a bigger one and guesses ahead for it."""

    path: str
    shape: ModelShape

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return self.shape.weight_bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to plan for."""

    model_id: str
    path: str
    shape: ModelShape
    kind: Kind = Kind.CHAT
    pooling: str = ""
    projector: Companion | None = None
    draft: Draft | None = None

    @property
    def companion_bytes(self) -> int:
        """What a projector takes; a draft model's share depends on how the model is loaded."""
        return self.projector.size if self.projector else 0

    @property
    def is_embedding(self) -> bool:
        """Whether it turns texts into vectors or scores rather than into texts."""
        return self.kind in (Kind.EMBEDDING, Kind.RERANKER)
