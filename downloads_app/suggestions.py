"""Models to begin with: well known, free to fetch, and chosen by what this machine can hold.

The sizes are those of the files on the hub; nothing is asked of it to suggest them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models_app.devices import Resources, resources
from models_app.machine import GIB
from models_app.plans import PlanContext

COUNT: Final = 3
BESIDE: Final = GIB
"""What a model takes beside its weights for a context of some thousand tokens, about."""

READABLE: Final = 3 * 10**9
"""Bytes a token that a processor reads from RAM fast enough for a conversation."""


DISK_SPARE: Final = GIB
"""What is to be left of the disk."""

SHARE: Final = 0.6
"""Of RAM: whoever tries a first model has other programs open."""


class Role(StrEnum):
    """What a model is suggested for."""

    ALL_ROUND = "all-round"
    IMAGES = "images"
    QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A repository worth trying."""

    repository: str
    title: str
    role: Role
    size: int
    """Bytes to fetch, the projector included."""
    active: int = 0
    """Bytes read for each token, where that is not all of them."""
    gpu: bool = False
    """Whether it would lie on a GPU of this machine altogether."""

    @property
    def a_token(self) -> int:
        return self.active or self.size


KNOWN: Final = (
    Suggestion("Qwen/Qwen3-0.6B-GGUF", "Qwen3 0.6B", Role.ALL_ROUND, 639_000_000),
    Suggestion("Qwen/Qwen3-1.7B-GGUF", "Qwen3 1.7B", Role.ALL_ROUND, 1_830_000_000),
    Suggestion("Qwen/Qwen3-4B-GGUF", "Qwen3 4B", Role.ALL_ROUND, 2_500_000_000),
    Suggestion("Qwen/Qwen3-8B-GGUF", "Qwen3 8B", Role.ALL_ROUND, 5_030_000_000),
    Suggestion("Qwen/Qwen3-14B-GGUF", "Qwen3 14B", Role.ALL_ROUND, 9_000_000_000),
    Suggestion("Qwen/Qwen3-32B-GGUF", "Qwen3 32B", Role.ALL_ROUND, 19_800_000_000),
    Suggestion("ggml-org/SmolVLM-500M-Instruct-GGUF", "SmolVLM 500M", Role.IMAGES, 546_000_000),
    Suggestion("ggml-org/gemma-3-4b-it-GGUF", "Gemma 3 4B", Role.IMAGES, 3_340_000_000),
    Suggestion("ggml-org/gemma-3-12b-it-GGUF", "Gemma 3 12B", Role.IMAGES, 8_150_000_000),
    Suggestion("ggml-org/gemma-3-27b-it-GGUF", "Gemma 3 27B", Role.IMAGES, 17_400_000_000),
    Suggestion("ggml-org/gemma-3-1b-it-GGUF", "Gemma 3 1B", Role.QUICK, 806_000_000),
    Suggestion("bartowski/Llama-3.2-3B-Instruct-GGUF", "Llama 3.2 3B", Role.QUICK, 2_020_000_000),
    Suggestion(
        "ggml-org/gpt-oss-20b-GGUF", "gpt-oss 20B", Role.QUICK, 12_100_000_000, 2_000_000_000
    ),
    Suggestion(
        "Qwen/Qwen3-30B-A3B-GGUF", "Qwen3 30B A3B", Role.QUICK, 18_600_000_000, 2_000_000_000
    ),
    Suggestion(
        "ggml-org/gpt-oss-120b-GGUF", "gpt-oss 120B", Role.QUICK, 63_400_000_000, 3_100_000_000
    ),
)
"""Of each role the smallest first."""


def for_machine(context: PlanContext | None = None) -> list[Suggestion]:
    """Up to three, one of each role as far as they fit; the largest that fit. Uses the database."""
    context = context or PlanContext.load()
    disk = context.machine.disk
    known = KNOWN if disk is None else [one for one in KNOWN if one.size + DISK_SPARE <= disk.free]
    return suggest(resources(context.machine, context.preferences), known)


def suggest(room: Resources, known: Sequence[Suggestion]) -> list[Suggestion]:
    """The same for given memory. Fewer than three, or none, where nothing fits."""
    fitting = [placed for one in known if (placed := _placed(one, room)) is not None]
    found = [one for role in Role if (one := _largest(fitting, role)) is not None]
    others = sorted((one for one in fitting if one not in found), key=lambda one: -one.size)
    return (found + others)[:COUNT]


def _placed(one: Suggestion, room: Resources) -> Suggestion | None:
    """With the place it would have; None when it fits nowhere, or would be too slow there."""
    own = sum(gpu.budget for gpu in room.gpus if not gpu.shared)
    needed = one.size + BESIDE
    if needed <= own:
        return Suggestion(one.repository, one.title, one.role, one.size, one.active, gpu=True)
    return one if needed <= room.ram * SHARE and one.a_token <= READABLE else None


def _largest(fitting: Iterable[Suggestion], role: Role) -> Suggestion | None:
    return max(
        (one for one in fitting if one.role is role),
        key=lambda one: (one.gpu, one.size),
        default=None,
    )
