"""Which models to begin with on this machine, when there is none (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.machine import GIB

SHOWN: Final = 3
ROOM: Final = 1.25
"""What a model takes beside its weights, for a conversation of some length."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model on the hub. `size` is about how many bytes are fetched."""

    name: str
    repository: str
    quantization: str
    size: int
    text: str | Promise


ALL: Final = (
    Suggestion(
        "Qwen3 0.6B", "Qwen/Qwen3-0.6B-GGUF", "Q8_0", int(0.64e9),
        _("Tiny and quick; for trying out, and for old computers."),
    ),
    Suggestion(
        "Gemma 3 1B", "ggml-org/gemma-3-1b-it-GGUF", "Q4_K_M", int(0.81e9),
        _("Small; short answers in many languages."),
    ),
    Suggestion(
        "Qwen3 4B", "Qwen/Qwen3-4B-GGUF", "Q4_K_M", int(2.5e9),
        _("A good companion for laptops; reasons, calls tools."),
    ),
    Suggestion(
        "Gemma 3 4B", "ggml-org/gemma-3-4b-it-GGUF", "Q4_K_M", int(2.5e9),
        _("For laptops; sees images."),
    ),
    Suggestion(
        "Qwen3 8B", "Qwen/Qwen3-8B-GGUF", "Q4_K_M", int(5.0e9),
        _("For graphics cards with 8 GB; reasons, calls tools."),
    ),
    Suggestion(
        "Gemma 3 12B", "ggml-org/gemma-3-12b-it-GGUF", "Q4_K_M", int(7.3e9),
        _("For 12 GB; sees images."),
    ),
    Suggestion(
        "gpt-oss 20B", "ggml-org/gpt-oss-20b-GGUF", "MXFP4", int(12.1e9),
        _("For 16 GB; quick for its size, reasons."),
    ),
    Suggestion(
        "Qwen3 30B A3B", "Qwen/Qwen3-30B-A3B-GGUF", "Q4_K_M", int(18.6e9),
        _("For 24 GB; only a part of it works at a time, so it is quick."),
    ),
    Suggestion(
        "Qwen3 32B", "Qwen/Qwen3-32B-GGUF", "Q4_K_M", int(19.8e9),
        _("For 24 GB; thorough."),
    ),
)  # fmt: skip


def fitting(fast: int, ram: int, disk: int | None) -> list[Suggestion]:
    """The largest that fit, the best first; at least the smallest.

    `fast` is memory of graphics cards, `ram` main memory to plan with, `disk` free space; bytes.
    Without a graphics card half of the main memory counts: more of it would answer slowly.
    """
    memory = fast if fast > 2 * GIB else ram // 2
    found = [
        one for one in ALL if one.size * ROOM <= memory and (disk is None or one.size * ROOM < disk)
    ]
    return found[-SHOWN:][::-1] or [ALL[0]]
