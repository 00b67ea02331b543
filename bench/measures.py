"""What the proxy benchmark measures at a target: requests, streams, memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.targets import Claracore, Target, chat_body, pinned
from tests.server import ROOT

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
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

PAGES_PER_SECOND = 20
EARLIER_SECONDS = 6
MEGABYTE = 1e6
LOOK_SECONDS = 0.2

Values = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One measured quantity of some targets."""

    title: str
    measure: Callable[[Target], Values]
    targets: tuple[str, ...] = ()
    """Names of those it is measured at; empty: all."""
    results: dict[str, list[Values]] = field(default_factory=dict)

    def concerns(self, target: Target) -> bool:
        return not self.targets or target.name in self.targets

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

    def sum(self, target: str, value: str) -> float:
        return sum(one[value] for one in self.results[target])


ANSWER = "30s"
"""What takes longer has failed; some answer 64 at once after several seconds."""


class Wrk:
    """Requests one after the other on each of some connections, with wrk."""

    def __init__(self, core: int, scratch: Path, connections: int, seconds: float) -> None:
        self._scratch = scratch
        self._command = [
            *pinned(core),
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--timeout", ANSWER, "--duration", f"{seconds:g}s", "--script"),
        ]

    def script(self, target: Target) -> str:
        """What wrk is told to send."""
        return SCRIPT.format(body=chat_body(), key=target.key)

    def __call__(self, target: Target) -> Values:
        script = self._scratch / "chat.lua"
        script.write_text(self.script(target))
        done = subprocess.run(
            [*self._command, str(script), target.chat_url],
            capture_output=True,
            text=True,
            check=True,
        )
        values: Values = json.loads(done.stdout.partition("\nJSON ")[2])
        if values["failed"]:
            raise SystemExit(f"{values['failed']:.0f} requests to {target.name} failed.")
        values["count"] = values["requests"]
        values["per_second"] = values["requests"] / values["seconds"]
        return values


class Streams:
    """Many streams at once, with `bench.load` in a process of its own."""

    def __init__(self, core: int, count: int, rate: float, seconds: float) -> None:
        module = [*pinned(core), sys.executable, "-m", "bench.load"]
        pace = ["--streams", str(count), "--rate", f"{rate:g}", "--seconds", f"{seconds:g}"]
        self._command = [*module, *pace]

    def begin(self, target: Target) -> subprocess.Popen[str]:
        """Under way, with its first stream about to begin, or ended: `end` tells."""
        command = [*self._command, "--key", target.key, target.url]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def end(self, process: subprocess.Popen[str], target: Target) -> Values:
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"The load on {target.name} ended with {process.returncode}.")
        values: Values = json.loads(said)
        values["count"] = values["chunks"]
        return values

    def __call__(self, target: Target) -> Values:
        return self.end(self.begin(target), target)


class StreamsAndVisitors:
    """Streams, while people look at pages of the admin."""

    def __init__(self, core: int, streams: Streams, seconds: float) -> None:
        self._streams = streams
        module = [*pinned(core), sys.executable, "-m", "bench.visitors"]
        pace = ["--rate", str(PAGES_PER_SECOND), "--seconds", f"{seconds:g}"]
        self._command = [*module, *pace]
        self._earlier = [*module, "--rate", "2", "--seconds", f"{EARLIER_SECONDS:g}"]

    def __call__(self, target: Target) -> Values:
        # The first visitor starts the process that renders pages; that is not what is measured.
        assert isinstance(target, Claracore)
        who = ["--session", target.session, target.url]
        subprocess.run([*self._earlier, *who], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        running = self._streams.begin(target)
        done = subprocess.run(
            [*self._command, *who], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        values = self._streams.end(running, target)
        visits: Values = json.loads(done.stdout)
        values["pages_per_second"] = visits["per_second"]
        values["page_p50"] = visits["p50"]
        return values


class OpenStreams:
    """The most memory the target had while many streams were open at once."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def __call__(self, target: Target) -> Values:
        running = self._streams.begin(target)
        most = target.memory()
        while running.poll() is None:
            most = max(most, target.memory())
            try:
                running.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        values = self._streams.end(running, target)
        values["memory_mb"] = most / MEGABYTE
        return values


class ManyRequests:
    """How much memory the target gained over so many requests, the first tenth left out."""

    def __init__(self, wrk: Wrk, count: int) -> None:
        self._wrk = wrk
        self._count = count

    def __call__(self, target: Target) -> Values:
        done = self._some(target, self._count // 10)
        before = target.memory()
        done += self._some(target, self._count - done)
        grown = (target.memory() - before) / MEGABYTE
        return {"count": done, "requests": done, "grown_mb": grown}

    def _some(self, target: Target, count: float) -> float:
        done = 0.0
        while done < count:
            done += self._wrk(target)["requests"]
        return done


def interleaved(runs: Iterable[Run], targets: list[Target]) -> None:
    """Every run once at each of its targets."""
    for run in runs:
        for target in targets:
            if run.concerns(target):
                run.once(target)
