"""Our downloads beside aria2c's, over loopback, with the SHA-256 checked by both.

    python -m bench.downloads [--gib 2] [--rounds 5] [--rate 50] [--connections 4]
    python -m bench.downloads --short

The server is measured unlimited and limited to so many MB/s per connection. The rounds alternate,
the medians are compared, and it fails below 95 % of aria2c. Then streams run through the gateway,
alone and during more downloads of both kinds, and the p99 of the chunk delay is printed; it fails
when a download takes it to 10 ms. The file's server, which stands for another machine, then runs
at a low priority. The full form takes about four minutes on two cores, the short one half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench import load
from bench.targets import Cores, Target, claracore
from downloads_app import stage
from downloads_app.background import NICENESS
from tests.server import ROOT

FLOOR = 0.95
P99_CEILING_MS = 10.0
STREAM_SECONDS = 6.0
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Took:
    """Wall and processor seconds of one download."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Files:
    """What is fetched, from where, and how fast: a title and bytes per second and connection."""

    scratch: Path
    digest: str
    rates: tuple[tuple[str, int], ...]
    name: str = "model.bin"

    @property
    def folder(self) -> Path:
        return self.scratch / "files"

    @classmethod
    def make(cls, scratch: Path, gib: float, rate: int) -> Files:
        (scratch / "files").mkdir()
        digest = fill(scratch / "files" / cls.name, int(gib * 2**30))
        limited = f"{rate} MB/s a connection"
        return cls(scratch, digest, (("unlimited", 0), (limited, rate * 10**6)))


def fill(path: Path, size: int) -> str:
    """Write `size` random bytes; returns their SHA-256."""
    digest = hashlib.sha256()
    block = os.urandom(16 * BLOCK)
    with path.open("wb") as file:
        for number in range(-(-size // len(block))):
            # Every block differs, so that no piece can stand for another.
            data = (number.to_bytes(8, "big") + block[8:])[: size - number * len(block)]
            file.write(data)
            digest.update(data)
    return digest.hexdigest()


@contextmanager
def serving(folder: Path, rate: int, niceness: int = 0) -> Iterator[str]:
    """The store's address, of a server process of its own."""
    command = ["nice", "-n", str(niceness)] if niceness else []
    command += [sys.executable, "-m", "tests.hub", str(folder), "--rate", str(rate)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        yield json.loads(process.stdout.readline())["store"]
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def timed(command: list[str]) -> Took:
    """Run a command to its end; raises CalledProcessError."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Took(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def ours(url: str, target: Path, digest: str, connections: int) -> list[str]:
    return [
        sys.executable, "-m", "bench.download_once", url, str(target), digest, str(connections)
    ]  # fmt: skip


def aria2c(url: str, target: Path, digest: str, connections: int) -> list[str]:
    count = str(connections)
    return [
        # At the priority that our downloads give themselves.
        "nice", "-n", str(NICENESS), "aria2c", "--quiet", "--no-conf",
        "-x", count, "-s", count, "-k", "1M",
        "--file-allocation=falloc", f"--checksum=sha-256={digest}",
        "-d", str(target.parent), "-o", target.name, url,
    ]  # fmt: skip


def compare(
    url: str, scratch: Path, digest: str, connections: int, rounds: int
) -> dict[str, list[Took]]:
    took: dict[str, list[Took]] = {"claracore": [], "aria2c": []}
    for number in range(rounds):
        for name, command in (("claracore", ours), ("aria2c", aria2c)):
            target = scratch / f"{name}-{number}.bin"
            took[name].append(timed(command(url, target, digest, connections)))
            target.unlink()
    return took


def report(title: str, took: dict[str, list[Took]], gib: float) -> float:
    """Print the medians; returns our throughput as a share of aria2c's."""
    print(f"\n{title}")
    for name, runs in took.items():
        wall = statistics.median(run.wall for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        print(f"  {name:10} {gib * 1024 / wall:8.0f} MiB/s   {cpu / gib:5.2f} s CPU per GiB")
    share = statistics.median(run.wall for run in took["aria2c"]) / statistics.median(
        run.wall for run in took["claracore"]
    )
    print(
        f"  {share:.0%} of aria2c ({'good' if share >= FLOOR else 'TOO SLOW'}; least {FLOOR:.0%})"
    )
    return share


async def streams_alone(target: Target, count: int) -> float:
    """The p99 of the chunk delay in ms."""
    return (await load.run(target.url, count, 20, STREAM_SECONDS, target.key))["p99"]


async def streams_meanwhile(target: Target, command: list[str], place: Path, count: int) -> float:
    """The same while `command` fetches to `place`, again and again."""
    async with asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(_again_and_again(command, place))
        p99 = await streams_alone(target, count)
        fetching.cancel()
    return p99


async def _again_and_again(command: list[str], place: Path) -> None:
    while True:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        try:
            if await process.wait():
                raise subprocess.CalledProcessError(process.returncode or 0, command)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        place.unlink()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50, help="MB/s and connection when limited")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=64, help="0 leaves them out")
    parser.add_argument("--short", action="store_true", help="256 MiB and one round")
    options = parser.parse_args()
    if options.short:
        options.gib, options.rounds = 0.25, 1
    return options


def measure_throughput(options: argparse.Namespace, files: Files, kept: dict[str, object]) -> bool:
    """Ours beside aria2c's, at both rates; whether it is good enough."""
    good = True
    for title, rate in files.rates:
        with serving(files.folder, rate) as store:
            url = f"{store}/files/{files.name}"
            took = compare(url, files.scratch, files.digest, options.connections, options.rounds)
        good &= report(title, took, options.gib) >= FLOOR
        kept[title] = {name: [asdict(run) for run in runs] for name, runs in took.items()}
    return good


def measure_streams(options: argparse.Namespace, files: Files, kept: dict[str, object]) -> bool:
    """The delay of chunks through the gateway, alone and during downloads; whether it is good."""
    good, found = True, {}
    with claracore(Cores.pick(), files.scratch) as target:
        found["alone"] = uvloop.run(streams_alone(target, options.streams))
        print(f"\n{options.streams} streams alone: p99 of the chunk delay {found['alone']:.1f} ms")
        for title, rate in files.rates:
            with serving(files.folder, rate, NICENESS) as store:
                place = files.scratch / "meanwhile"
                url = f"{store}/files/{files.name}"
                command = ours(url, place, files.digest, options.connections)
                p99 = uvloop.run(streams_meanwhile(target, command, place, options.streams))
            place.unlink(missing_ok=True)
            shutil.rmtree(files.scratch / stage.FOLDER, ignore_errors=True)
            word = "good" if p99 < P99_CEILING_MS else "TOO SLOW"
            print(f"  during a download, {title}: {p99:.1f} ms ({word}; {P99_CEILING_MS:.0f} ms)")
            good &= p99 < P99_CEILING_MS
            found[title] = p99
    kept["p99 ms"] = found
    return good


def main() -> int:
    options = arguments()
    if shutil.which("aria2c") is None:
        print("aria2c is missing; on Debian: apt-get install aria2", file=sys.stderr)
        return 2
    began = time.monotonic()
    kept: dict[str, object] = {"gib": options.gib, "connections": options.connections}
    with tempfile.TemporaryDirectory() as scratch:
        files = Files.make(Path(scratch), options.gib, options.rate)
        print(
            f"{options.gib:g} GiB over {options.connections} connections, SHA-256 checked by both, "
            f"medians of {options.rounds} alternating rounds"
        )
        good = measure_throughput(options, files, kept)
        if options.streams:
            good &= measure_streams(options, files, kept)
    kept["seconds"] = time.monotonic() - began
    print(f"\nIt took {kept['seconds']:.0f} s.")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "downloads.json").write_text(json.dumps(kept, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
