"""How fast the gateway is: beside the engine itself, and beside nginx, in one run.

One processor runs the proxies, another the load and the engines. Every round measures each target
once, so that whatever else the machine does hits all of them; numbers are medians over the rounds,
and what counts are the ratios, taken round by round.

    python -m bench.proxy [--rounds 5] [--seconds 4] [--url http://127.0.0.1:5800 …]

A server given by its URL has to serve the fake engine as a model named "fake".
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.targets import Cores, Target, chat_body, claracore, direct, nginx, pinned
from tests.server import ROOT

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{body}]]
done = function(summary, latency, requests)
    local failed = summary.errors
    io.write(string.format(
        '\\nJSON {{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}}\\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
"""

THROUGHPUT_FLOOR = 0.24
"""Least share of the engine's own requests/s at 16 connections."""
LATENCY_CEILING = 2.0
"""Most times nginx's median at one connection."""
STREAM_CEILING, STREAM_SLACK_MS = 1.5, 2.0
"""Most times nginx's p99 of the chunk delay, plus so much."""


@dataclass(frozen=True)
class Run:
    """One measured quantity of all targets."""

    title: str
    measure: Callable[[Target], dict[str, float]]
    results: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def once(self, target: Target) -> None:
        before = target.cpu_seconds()
        values = self.measure(target)
        values["cpu_us"] = (target.cpu_seconds() - before) * 1e6 / values["count"]
        self.results.setdefault(target.name, []).append(values)

    def median(self, target: str, value: str) -> float:
        return statistics.median(one[value] for one in self.results[target])

    def ratio(self, target: str, other: str, value: str) -> float:
        """Median over the rounds of one target's value by another's of the same round."""
        pairs = zip(self.results[target], self.results[other], strict=True)
        return statistics.median(mine[value] / theirs[value] for mine, theirs in pairs)


class Wrk:
    """Requests one after the other on each of some connections, with wrk."""

    def __init__(self, core: int, scratch: Path, connections: int, seconds: float) -> None:
        script = scratch / "chat.lua"
        script.write_text(SCRIPT.format(body=chat_body()))
        self._command = [
            *pinned(core),
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds:g}s", "--script", str(script)),
        ]

    def __call__(self, target: Target) -> dict[str, float]:
        done = subprocess.run(
            [*self._command, target.chat_url], capture_output=True, text=True, check=True
        )
        values: dict[str, float] = json.loads(done.stdout.partition("\nJSON ")[2])
        if values["failed"]:
            raise SystemExit(f"{values['failed']:.0f} requests to {target.name} failed.")
        values["count"] = values["requests"]
        values["per_second"] = values["requests"] / values["seconds"]
        return values


class Streams:
    """Many streams at once, with `bench.load` in a process of its own."""

    def __init__(self, core: int, count: int, seconds: float) -> None:
        module = [*pinned(core), sys.executable, "-m", "bench.load"]
        self._command = [*module, "--streams", str(count), "--seconds", str(seconds)]

    def __call__(self, target: Target) -> dict[str, float]:
        done = subprocess.run(
            [*self._command, target.url], cwd=ROOT, capture_output=True, text=True, check=True
        )
        values: dict[str, float] = json.loads(done.stdout)
        if values["lost"] or values["cut"]:
            raise SystemExit(f"{target.name} lost {values['lost']:.0f} chunks.")
        values["count"] = values["chunks"]
        return values


@contextmanager
def all_targets(cores: Cores, urls: list[str], scratch: Path) -> Iterator[list[Target]]:
    with ExitStack() as stack:
        engine = stack.enter_context(direct(cores))
        targets = [engine, stack.enter_context(nginx(cores, engine, scratch))]
        targets += [Target(url, url.rstrip("/")) for url in urls]
        if not urls:
            targets.append(stack.enter_context(claracore(cores, scratch)))
        yield targets


def table(run: Run, columns: dict[str, str], against: dict[str, str]) -> None:
    """One line a target; the last columns are ratios to another target."""
    print(f"\n{run.title}")
    heads = [*columns.values(), *(f"{value} / {other}" for value, other in against.items())]
    print(" ".join([f"{'':24}", *(f"{head:>20}" for head in heads)]))
    for name in run.results:
        cells = [f"{run.median(name, value):20,.2f}" for value in columns]
        cells += [f"{run.ratio(name, other, value):20.3f}" for value, other in against.items()]
        print(" ".join([f"{name:24}", *cells]))


def verdict(text: str, value: float, limit: float, *, least: bool) -> bool:
    good = value >= limit if least else value <= limit
    bound = "at least" if least else "at most"
    print(f"{'ok  ' if good else 'MISS'} {text}: {value:.3f} ({bound} {limit:.3f})")
    return good


def judge(name: str, runs: dict[str, Run]) -> bool:
    """Whether one target keeps what the README promises."""
    results = []
    if "busy" in runs:
        share = runs["busy"].ratio(name, "direct", "per_second")
        text = f"{name}: requests/s at 16 connections, of direct"
        results.append(verdict(text, share, THROUGHPUT_FLOOR, least=True))
    if "calm" in runs:
        times = runs["calm"].ratio(name, "nginx", "p50")
        text = f"{name}: p50 at one connection, times nginx"
        results.append(verdict(text, times, LATENCY_CEILING, least=False))
    if "streams" in runs:
        limit = STREAM_CEILING * runs["streams"].median("nginx", "p99") + STREAM_SLACK_MS
        text = f"{name}: p99 of the chunk delay, ms"
        p99 = runs["streams"].median(name, "p99")
        results.append(verdict(text, p99, limit, least=False))
    return all(results)


def as_json(runs: dict[str, Run]) -> dict[str, object]:
    """Everything measured, and each target's medians as ratios to the engine and to nginx."""
    return {
        key: {
            "title": run.title,
            "ratios": {
                f"{name} / {other}": {
                    value: run.ratio(name, other, value)
                    for value in ("per_second", "p50", "p99")
                    if value in run.results[name][0]
                }
                for name in run.results
                for other in ("direct", "nginx")
                if name != other
            },
            "rounds": run.results,
        }
        for key, run in runs.items()
    }


def report(runs: dict[str, Run], judged: list[str]) -> bool:
    requests = {"per_second": "requests/s", "p50": "p50 ms", "p99": "p99 ms", "cpu_us": "cpu us"}
    chunks = {"p50": "p50 ms", "p99": "p99 ms", "p999": "p99.9 ms", "cpu_us": "cpu us"}
    for key, run in runs.items():
        if key == "streams":
            table(run, chunks, {"p99": "nginx"})
        else:
            table(run, requests, {"per_second": "direct", "p50": "nginx"})
    print()
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "proxy.json").write_text(json.dumps(as_json(runs), indent=1))
    kept = [judge(name, runs) for name in judged]
    return all(kept)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--connections", type=int, nargs="*", default=[64], help="besides 16 and 1")
    parser.add_argument("--streams", type=int, default=256, help="0 leaves them out")
    parser.add_argument("--url", action="append", default=[], help="measure this instead of us")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    cores = Cores.pick()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def wrk(connections: int) -> Run:
            load = Wrk(cores.load, scratch, connections, options.seconds)
            return Run(f"Small JSON answers, {connections} connections", load)

        runs = {"busy": wrk(16), "calm": wrk(1)}
        runs |= {f"at {number}": wrk(number) for number in options.connections}
        if options.streams:
            streams = Streams(cores.load, options.streams, options.seconds + 1)
            title = f"{options.streams} streams of 50 chunks/s, delay of a chunk"
            runs["streams"] = Run(title, streams)
        targets = stack.enter_context(all_targets(cores, options.url, scratch))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for run in runs.values():
                for target in targets:
                    run.once(target)
    return 0 if report(runs, [target.name for target in targets[2:]]) else 1


if __name__ == "__main__":
    sys.exit(main())
