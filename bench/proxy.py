"""How fast the gateway is: beside the engine itself, nginx and LiteLLM, in one run.

One processor runs the proxies, another the load and the engines. Every round measures each target
once, so that whatever else the machine does hits all of them; numbers are medians over the rounds,
and what counts are the ratios, taken round by round. We check a key and record usage meanwhile.

    python -m bench.proxy             20 minutes: five rounds, 200,000 requests for the memory
    python -m bench.proxy --short     about a minute and a half, to see that it works

Exits with 1 when a promise is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.litellm import HOW_TO_INSTALL, litellm, program
from bench.measures import (
    PAGES_PER_SECOND,
    ManyRequests,
    OpenStreams,
    Run,
    Streams,
    StreamsAndVisitors,
    Wrk,
    interleaved,
)
from bench.promises import promises, recorded
from bench.targets import Claracore, Cores, Target, claracore, direct, nginx
from tests.server import ROOT

OURS = "claracore"
CHUNKS_PER_SECOND = 50
OPEN_STREAMS = 1000

START_SECONDS = 2
"""What a measurement takes besides, about."""
REQUESTS_PER_SECOND = 1000
"""What is reckoned with for the estimate; a slow machine's."""


@dataclass(frozen=True)
class Extent:
    """How much is measured. Seconds are of one measurement of one target."""

    rounds: int
    seconds: float
    stream_seconds: float
    streams: int
    requests: int
    """Over which memory is watched."""


FULL = Extent(rounds=5, seconds=4, stream_seconds=6, streams=256, requests=200_000)
SHORT = Extent(rounds=1, seconds=2, stream_seconds=4, streams=256, requests=5_000)


def all_runs(extent: Extent, core: int, scratch: Path) -> dict[str, Run]:
    def wrk(connections: int) -> Wrk:
        return Wrk(core, scratch, connections, extent.seconds)

    def requests(connections: int) -> Run:
        return Run(f"Small JSON answers, {connections} connections", wrk(connections))

    streams = Streams(core, extent.streams, CHUNKS_PER_SECOND, extent.stream_seconds)
    title = f"{extent.streams} streams of {CHUNKS_PER_SECOND} chunks/s"
    # Chunks this far apart keep the load's own processor from being the limit.
    slow = Streams(core, OPEN_STREAMS, 2, extent.stream_seconds)
    fast = ("direct", "nginx", OURS)
    return {
        "busy": requests(16),
        "busier": requests(64),
        "calm": requests(1),
        "streams": Run(title, streams, fast),
        "visited": Run(
            f"{title} beside {PAGES_PER_SECOND} pages/s",
            StreamsAndVisitors(core, streams, extent.stream_seconds),
            (OURS,),
        ),
        "open": Run(f"{OPEN_STREAMS:,} open streams", OpenStreams(slow), (OURS,)),
    }


@contextmanager
def all_targets(cores: Cores, scratch: Path, *, usage: bool) -> Iterator[list[Target]]:
    with ExitStack() as stack:
        engine = stack.enter_context(direct(cores))
        targets = [engine, stack.enter_context(nginx(cores, engine, scratch))]
        if (found := program()) is not None:
            targets.append(stack.enter_context(litellm(cores, engine, scratch, found)))
        else:
            print(HOW_TO_INSTALL, file=sys.stderr)
        targets.append(stack.enter_context(claracore(cores, scratch, usage=usage)))
        yield targets


def minutes(extent: Extent, runs: Mapping[str, Run], rounds: int, targets: list[Target]) -> float:
    """About how long it takes: what is measured, and what starting the loads takes."""
    each = sum(
        (extent.stream_seconds if run.title[0].isdigit() else extent.seconds) + START_SECONDS
        for run in runs.values()
        for target in targets
        if run.concerns(target)
    )
    return (rounds * each + extent.requests / REQUESTS_PER_SECOND) / 60


def table(run: Run) -> None:
    """One line a target; the last columns are ratios to other targets."""
    shown = {"per_second": "requests/s", "p50": "p50 ms", "p99": "p99 ms", "p999": "p99.9 ms"}
    shown |= {"memory_mb": "memory MB", "pages_per_second": "pages/s", "cpu_us": "cpu us"}
    first = next(iter(run.results.values()))[0]
    columns = {value: head for value, head in shown.items() if value in first}
    against = {"per_second": "direct"} if "per_second" in first else {}
    against |= {value: "nginx" for value in ("p50", "p99") if value in first}
    against = {value: other for value, other in against.items() if other in run.results}
    print(f"\n{run.title}")
    heads = [*columns.values(), *(f"{shown[one]} / {other}" for one, other in against.items())]
    print(" ".join([f"{'':12}", *(f"{head:>20}" for head in heads)]))
    for name in run.results:
        cells = [f"{run.median(name, value):20,.2f}" for value in columns]
        cells += [f"{run.ratio(name, other, value):20.3f}" for value, other in against.items()]
        print(" ".join([f"{name:12}", *cells]))


def report(runs: dict[str, Run], known: int | None) -> bool:
    """Print everything; whether all promises were kept. `known` is what usage knows of."""
    for run in runs.values():
        if run.results:
            table(run)
    lines = list(promises(OURS, runs))
    if known is not None:
        sent = sum(run.sum(OURS, "requests") for run in runs.values() if is_counted(run))
        if sent:
            lines.append(recorded(known, sent))
    print(f"\n{'':58} {'asked':>22} {'measured':>18}   verdict")
    for line in lines:
        print(line.line())
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    kept = {key: {"title": run.title, "rounds": run.results} for key, run in runs.items()}
    (results / "proxy.json").write_text(json.dumps(kept, indent=1))
    return all(line.kept for line in lines)


def is_counted(run: Run) -> bool:
    """Whether the load says how many requests it made; of streams there are few."""
    return "requests" in run.results.get(OURS, [{}])[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="one round, 5,000 requests for memory")
    parser.add_argument("--rounds", type=int, help="how many instead")
    parser.add_argument("--only", nargs="+", metavar="RUN", help="busy busier calm streams …")
    parser.add_argument("--no-usage", action="store_true", help="do not record usage meanwhile")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    extent = SHORT if options.short else FULL
    rounds = options.rounds or extent.rounds
    cores = Cores.pick()
    print(f"load average before: {os.getloadavg()[0]:.2f}", file=sys.stderr)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = all_runs(extent, cores.load, scratch)
        # Once is enough for this, and it is long.
        wrk = Wrk(cores.load, scratch, 16, extent.seconds)
        many = Run("Many requests", ManyRequests(wrk, extent.requests), (OURS,))
        if options.only:
            runs = {key: run for key, run in runs.items() if key in options.only}
        usage = not options.no_usage
        targets = stack.enter_context(all_targets(cores, scratch, usage=usage))
        about = minutes(extent, runs, rounds, targets)
        print(f"about {about:.0f} minutes", file=sys.stderr)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            interleaved(runs.values(), targets)
        if not options.only or "many" in options.only:
            print(f"{extent.requests:,} requests", file=sys.stderr)
            runs["many"] = many
            interleaved([many], targets)
        ours = targets[-1]
        assert isinstance(ours, Claracore)
        known = ours.requests_in_usage() if usage else None
    return 0 if report(runs, known) else 1


if __name__ == "__main__":
    sys.exit(main())
