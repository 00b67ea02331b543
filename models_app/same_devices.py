"""Which device of one llama-server build is which of another, as they name them otherwise. Pure.

A CUDA build says CUDA0 of the card that a Vulkan build calls Vulkan1. Both describe it in nearly
the same words, and cards of one description stand in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Described(Protocol):
    """A device under some build's name for it."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...


def same_devices(theirs: Sequence[Described], ours: Sequence[Described]) -> dict[str, str]:
    """Our name for each of their devices that is one of ours, by their name for it."""
    left = list(ours)
    found: dict[str, str] = {}
    for alike in (_is_named_alike, _is_described_alike):
        for device in theirs:
            match = next((one for one in left if alike(device, one)), None)
            if device.name not in found and match is not None:
                found[device.name] = match.name
                left.remove(match)
    return found


def _is_named_alike(one: Described, other: Described) -> bool:
    return one.name == other.name and _is_described_alike(one, other)


def _is_described_alike(one: Described, other: Described) -> bool:
    first, second = one.description.lower(), other.description.lower()
    return first in second or second in first
