"""What the gateway's speed is measured against, as a table: asked, measured, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.measures import PAGES_PER_SECOND, Run

THROUGHPUT_FLOOR = 0.24
"""Least share of the engine's own requests/s."""
LATENCY_CEILING = 2.0
"""Most times nginx's median at one connection."""
STREAM_CEILING, STREAM_SLACK_MS = 1.5, 2.0
"""Most times nginx's p99 of the chunk delay, plus so much."""
VISITED_CEILING_MS = 10.0
"""Most p99 of the chunk delay while pages of the admin are served."""
PAGES_FLOOR = 0.9
"""Least share of the pages a second that were asked for; fewer would not be the load promised."""
MEMORY_CEILING_MB = 250.0
GROWTH_CEILING_MB = 10.0
RECORDED_FLOOR = 0.999
"""Least share of requests that the usage must know of."""


@dataclass(frozen=True)
class Promise:
    """One line of the table; a limit is the most, or the least, that is asked."""

    what: str
    measured: float
    limit: float
    least: bool = False
    unit: str = ""

    @property
    def kept(self) -> bool:
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    def line(self) -> str:
        bound = "at least" if self.least else "at most"
        asked = f"{bound} {self.limit:,.2f} {self.unit}"
        measured = f"{self.measured:,.3f} {self.unit}"
        return f"{self.what:58} {asked:>22} {measured:>18}   {'ok' if self.kept else 'MISS'}"


def promises(name: str, runs: Mapping[str, Run]) -> Iterator[Promise]:
    """What was promised of the target `name`, as far as it was measured."""
    for key, connections in (("busy", 16), ("busier", 64)):
        if key in runs:
            share = runs[key].ratio(name, "direct", "per_second")
            what = f"requests/s at {connections} connections, of direct"
            yield Promise(what, share, THROUGHPUT_FLOOR, least=True)
    if "calm" in runs:
        times = runs["calm"].ratio(name, "nginx", "p50")
        yield Promise("p50 at one connection, times nginx", times, LATENCY_CEILING)
    if "streams" in runs:
        yield from _streams(name, runs["streams"])
    if name in (run := runs.get("visited", _NOTHING)).results:
        p99 = run.median(name, "p99")
        yield Promise("the same beside pages of the admin: p99", p99, VISITED_CEILING_MS, unit="ms")
        lost = run.sum(name, "lost") + run.sum(name, "cut")
        yield Promise("... chunks lost", lost, 0)
        pages, floor = run.median(name, "pages_per_second"), PAGES_FLOOR * PAGES_PER_SECOND
        yield Promise("... pages of the admin, each second", pages, floor, least=True)
    if name in (run := runs.get("open", _NOTHING)).results:
        memory = max(one["memory_mb"] for one in run.results[name])
        yield Promise(f"{run.title}: memory", memory, MEMORY_CEILING_MB, unit="MB")
        lost = run.sum(name, "lost") + run.sum(name, "cut")
        yield Promise("... chunks lost", lost, 0)
    if name in (run := runs.get("many", _NOTHING)).results:
        grown, count = run.sum(name, "grown_mb"), run.sum(name, "requests")
        what = f"memory gained over {count:,.0f} requests"
        yield Promise(what, grown, GROWTH_CEILING_MB, unit="MB")


def recorded(known: int, sent: float) -> Promise:
    """Usage was really recorded while all this was measured."""
    return Promise("requests in the usage, of those sent", known / sent, RECORDED_FLOOR, least=True)


def _streams(name: str, run: Run) -> Iterator[Promise]:
    limit = STREAM_CEILING * run.median("nginx", "p99") + STREAM_SLACK_MS
    p99 = run.median(name, "p99")
    yield Promise(f"{run.title}: p99", p99, limit, unit="ms")
    lost = run.sum(name, "lost") + run.sum(name, "cut")
    yield Promise("... chunks lost", lost, 0)


_NOTHING = Run("", lambda target: {})
