"""Requests in classes: how they ended, and how long their parts took (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proxy_app.entries import Entry

STATUS: Final = "status"
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Upper ends of the ranges, in seconds; the last range has none."""
UNBOUNDED: Final = "+Inf"
LABELS: Final = (*(f"{bound:g}" for bound in BOUNDS), UNBOUNDED)
DURATIONS: Final = ("queue", "load", "first_token", "request")

Counts = dict[tuple[str, str, str], tuple[int, float]]
"""(model, what, class) -> how many, and their seconds together."""


def counts_of(entries: Iterable[Entry]) -> Counts:
    """What the entries add to the counts."""
    counts: Counts = {}
    for entry in entries:
        for name, label, seconds in _classes(entry):
            key = (entry.model, name, label)
            count, total = counts.get(key, (0, 0.0))
            counts[key] = (count + 1, total + seconds)
    return counts


def range_of(seconds: float) -> str:
    """The label of the range that a duration falls into."""
    for bound, label in zip(BOUNDS, LABELS, strict=False):
        if seconds <= bound:
            return label
    return UNBOUNDED


def _classes(entry: Entry) -> Iterator[tuple[str, str, float]]:
    yield STATUS, str(entry.status), 0.0
    durations = (entry.queue_ms, entry.load_ms or None, entry.first_ms, entry.total_ms)
    for name, milliseconds in zip(DURATIONS, durations, strict=True):
        if milliseconds is not None:
            seconds = milliseconds / 1000
            yield name, range_of(seconds), seconds
