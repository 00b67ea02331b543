"""Our downloads beside aria2c's, over loopback, with the SHA-256 checked by both.

    python -m bench.downloads [--gib 2] [--rounds 5] [--rate 50] [--connections 4]

The server is measured unlimited and limited to so many MB/s per connection. The rounds alternate,
the medians are compared, and it fails below 95 % of aria2c. Then streams run through the gateway
during one more download, and the p99 of the chunk delay is printed.
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
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench import load
from bench.targets import Cores, claracore
from tests.server import ROOT

FLOOR = 0.95
P99_CEILING_MS = 10.0
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Took:
    """Wall and processor seconds of one download."""

    wall: float
    cpu: float


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
def serving(folder: Path, rate: int) -> Iterator[str]:
    """The store's address, of a server process of its own."""
    command = [sys.executable, "-m", "tests.hub", str(folder), "--rate", str(rate)]
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
        "aria2c", "--quiet", "--no-conf", "-x", count, "-s", count, "-k", "1M",
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


async def streams_meanwhile(url: str, command: list[str], count: int) -> float:
    """The p99 of the chunk delay in ms while `command` runs."""
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        return (await load.run(url, count, 20, 5))["p99"]
    finally:
        await process.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50, help="MB/s and connection when limited")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=64, help="0 leaves them out")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if shutil.which("aria2c") is None:
        print("aria2c is missing; on Debian: apt-get install aria2", file=sys.stderr)
        return 2
    good = True
    kept: dict[str, object] = {"gib": options.gib, "connections": options.connections}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = scratch / "files"
        folder.mkdir()
        digest = fill(folder / "model.bin", int(options.gib * 2**30))
        for title, rate in (("unlimited", 0), (f"{options.rate} MB/s a connection", options.rate)):
            with serving(folder, rate * 10**6) as store:
                url = f"{store}/files/model.bin"
                took = compare(url, scratch, digest, options.connections, options.rounds)
            good &= report(title, took, options.gib) >= FLOOR
            kept[title] = {name: [asdict(run) for run in runs] for name, runs in took.items()}
        if options.streams:
            store = stack.enter_context(serving(folder, options.rate * 10**6))
            target = stack.enter_context(claracore(Cores.pick(), scratch))
            command = ours(
                f"{store}/files/model.bin", scratch / "meanwhile", digest, options.connections
            )
            p99 = uvloop.run(streams_meanwhile(target.url, command, options.streams))
            print(f"\n{options.streams} streams meanwhile: p99 of the chunk delay {p99:.1f} ms")
            good &= p99 < P99_CEILING_MS
            kept["p99 ms"] = p99
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "downloads.json").write_text(json.dumps(kept, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
