"""`kill -9` of the worker in the middle of a download, again and again.

    python -m tests.campaigns.download_kills [KILLS] [SEED]

The download is complete afterwards, and what had arrived before a kill is never fetched again:
each connection loses the piece it was just receiving, and nothing else.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub import Fault, Hub, running_hub
from tests.server import ROOT, clean_environment, wait_until

PIECE = 2 * 1024 * 1024
RATE = 4_000_000
"""Bytes per second and connection."""

PIECES_A_KILL = 8
"""What may arrive between two kills: the file has to outlast them all."""


@dataclass
class Outcome:
    kills: int = 0
    again: int = 0
    """Pieces asked for once more although they had arrived."""
    kept: int = 0
    """Pieces that were here at the kills, all together."""
    status: str = ""
    exact: bool = False
    worker_said: str = field(default="", repr=False)


def run(kills: int, seed: int, folder: Path) -> Outcome:
    """Kill the worker `kills` times. Django has to be set up with its home in `folder`."""
    from django.db import connection

    from downloads_app import orders, queue
    from downloads_app.models import Download

    chance = random.Random(seed)
    data = _random(chance, PIECE * PIECES_A_KILL * (kills + 2) + 12345)
    outcome = Outcome()
    with running_hub() as hub:
        hub.plain.clear()
        hub.add("owner/kills", {"data.bin": data})
        hub.faults.append(Fault("rate", -1, RATE))
        item = orders.Item(_url(hub), "data.bin")
        download = orders.place(orders.Order([item]))
        for _ in range(kills):
            before = _journal(download.folder)
            with worker(folder) as process:
                wait_until(
                    lambda before=before: len(_journal(download.folder)) > len(before),
                    "a piece",
                    lambda: (folder / "worker.log").read_text(),
                )
                time.sleep(chance.uniform(0.0, 0.4))  # Which moment it is, is left to chance.
                process.kill()
                process.wait()
            kept = _journal(download.folder)
            outcome.kept += len(kept)
            outcome.again += len(before & _asked(hub))
            outcome.kills += 1
            hub.asked.clear()
            queue.sweep()
        before = _journal(download.folder)
        hub.faults.clear()
        with worker(folder):
            wait_until(
                lambda: Download.objects.get().status not in ("pending", "downloading"),
                "the end",
                lambda: (folder / "worker.log").read_text(),
            )
        outcome.again += len(before & _asked(hub))
        row = Download.objects.get()
        outcome.status = row.status + (f": {row.error}" if row.error else "")
        target = Path(row.folder) / "data.bin"
        outcome.exact = target.exists() and target.read_bytes() == data
        connection.close()
    return outcome


def _random(chance: random.Random, size: int) -> bytes:
    """Piece by piece: Python makes no more than 256 MB of randomness at once."""
    return b"".join(chance.randbytes(min(PIECE, size - at)) for at in range(0, size, PIECE))


def _url(hub: Hub) -> str:
    return hub.file_url("owner/kills", "data.bin")


def _journal(folder: str) -> set[int]:
    """The pieces that are here."""
    found: set[int] = set()
    for journal in Path(folder).glob(".claracore-parts/*/journal"):
        try:
            lines = journal.read_text().splitlines()[1:]
        except OSError:
            continue
        found |= {int(line.split()[0]) for line in lines if re.fullmatch(r"\d+ [0-9a-f]{8}", line)}
    return found


def _asked(hub: Hub) -> set[int]:
    """The pieces that were asked for from their beginning."""
    found: set[int] = set()
    for asked in hub.asked_of("store"):
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        if match and not asked.is_probe:
            first, last = int(match[1]), int(match[2])
            found |= set(range(-(-first // PIECE), last // PIECE + 1))
    return found


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real worker on the filesystem broker."""
    from proxy_app.worker import command

    environment = {**clean_environment(folder / "home"), **_settings()}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command(), cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _settings() -> dict[str, str]:
    names = ("CLARACORE_HF_ENDPOINT", "CLARACORE_PRIVATE_HOSTS")
    return {name: os.environ[name] for name in names if name in os.environ}


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="claracore-kills-") as scratch:
        folder = Path(scratch)
        (folder / "home").mkdir()
        for name in [name for name in os.environ if name.startswith("CLARACORE_")]:
            del os.environ[name]
        os.environ["CLARACORE_HOME"] = str(folder / "home")
        os.environ["CLARACORE_PRIVATE_HOSTS"] = "127.0.0.1"
        os.environ["DJANGO_SETTINGS_MODULE"] = "claracore_site.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        outcome = run(kills, seed, folder)
    print(f"seed {seed}: {outcome}")
    sys.exit(not (outcome.exact and outcome.status == "completed" and outcome.again == 0))


if __name__ == "__main__":
    main()
