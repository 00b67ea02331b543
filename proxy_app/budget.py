"""Memory as a budget: what fits beside what, and whose place is cheapest to take (pure).

Every device has a budget of bytes, and every model needs some of one or more of them. A device
that one model has to itself is never over its budget: what is too big for the machine is still
tried, and gets smaller when the engine runs out of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

Bytes = Mapping[str, int]
"""Bytes on each device, by the engine's name for it; RAM is "CPU"."""

RAM = "CPU"


class Holder(Protocol):
    """Something that holds memory."""

    @property
    def need(self) -> Bytes: ...


H = TypeVar("H", bound=Holder)


def total(holders: Iterable[Holder]) -> dict[str, int]:
    """What all of them hold together."""
    held: dict[str, int] = {}
    for holder in holders:
        for device, size in holder.need.items():
            held[device] = held.get(device, 0) + size
    return held


def lacking(need: Bytes, held: Bytes, budget: Bytes) -> frozenset[str]:
    """The devices that cannot take `need` beside what is held there."""
    return frozenset(
        device
        for device, size in need.items()
        if size > 0
        and device in budget
        and held.get(device, 0) > 0
        and held[device] + size > budget[device]
    )


def cheapest(need: Bytes, holders: Sequence[H], held: Bytes, budget: Bytes) -> list[H] | None:
    """Whom of `holders`, cheapest first, to remove from `held` so that `need` fits.

    None when it would not fit with all of them gone.
    """
    alone = [one for one in holders if not lacking(need, without(held, (one,)), budget)]
    chosen: list[H] = []
    for one in holders:
        short = lacking(need, without(held, chosen), budget)
        if not short:
            break
        if any(one.need.get(device, 0) > 0 for device in short):
            chosen.append(one)
    if lacking(need, without(held, chosen), budget):
        return None
    for one in reversed(chosen):
        rest = [other for other in chosen if other is not one]
        if not lacking(need, without(held, rest), budget):
            chosen = rest
    # One that costs little more than the cheapest is better than several.
    return alone[:1] if alone and len(chosen) > 1 else chosen


def without(held: Bytes, gone: Iterable[Holder]) -> dict[str, int]:
    """What is still held when some are gone."""
    left = dict(held)
    for holder in gone:
        for device, size in holder.need.items():
            left[device] = left.get(device, 0) - size
    return left


def not_back(need: Bytes, free: Bytes, left: Iterable[str]) -> dict[str, int]:
    """What is missing on the devices that engines `left`, before `need` is free there.

    A device whose free memory is unknown is taken to be ready.
    """
    return {
        device: need[device] - free[device]
        for device in left
        if device in need and device in free and need[device] > free[device]
    }
