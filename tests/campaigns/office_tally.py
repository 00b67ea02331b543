"""What a day in the office came to, and how it is told."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What became of everything anybody did."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds until the whole answer, by act."""
    added: list[float] = field(default_factory=list)
    """Seconds that the server added, by pairs of the same moment."""
    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    """Inference requests that were answered whole, the checks after a kill included."""
    recoveries: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)
    dying: bool = False
    """While something is being killed its requests may break off."""


def tell(tally: Tally, missing: int) -> None:
    total = sum(sum(found.values()) for found in tally.outcomes.values())
    print(f"{total} requests")
    for name, found in sorted(tally.outcomes.items()):
        times = ""
        if delays := tally.delays[name]:
            middle, late = _percentiles(delays)
            times = f"  p50 {middle:.1f} ms, p99 {late:.1f} ms"
        print(f"  {name:7} {dict(found)}{times}")
    if tally.added:
        middle, late = _percentiles(tally.added)
        print(f"added delay, of {len(tally.added)} pairs: p50 {middle:.1f} ms, p99 {late:.1f} ms")
    print("recovery:", *(tally.recoveries or ["nothing was killed"]), sep="\n  ")
    print("memory in MB, of the program and (of all in its container):", *tally.memory, sep="\n  ")
    print(f"{tally.answered} answers of engines, {missing} of them without a usage row")
    for line in tally.wrong[:20]:
        print(f"WRONG {line}")


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return statistics.median(ordered) * 1e3, late * 1e3
