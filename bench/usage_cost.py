"""What recording requests costs: a server that keeps usage and has a listener, beside one without.

    python -m bench.usage_cost [--rounds 5] [--seconds 4]

Both run at once and take turns under the same load on one processor, so that whatever else the
machine does hits both; the ratios are taken round by round. The server that keeps no usage still
fills its records, for those who look at live requests; what that takes is measured by itself, in
this process, as a share of the processor time a request takes. Asked: requests a second within 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import django
import requests

from bench.measures import Run, Wrk, interleaved
from bench.targets import Cores, Target, claracore

ON, OFF = "usage on", "usage off"
LEAST = 0.95
"""Requests a second with usage and a listener, as a share of those without."""

ANSWER = b'{"choices":[{"text":"%s"}],"usage":{"prompt_tokens":9,"completion_tokens":16}}' % (
    b"x" * 300
)


def listen(target: Target) -> None:
    """Hear all events until the server ends."""
    reply = requests.get(f"{target.url}/api/events?api_key={target.key}", stream=True)

    def read() -> None:
        try:
            for _ in reply.iter_content(None):
                pass
        except requests.RequestException:
            return

    threading.Thread(target=read, daemon=True).start()


async def record_us(folder: Path, count: int = 50_000) -> float:
    """Microseconds of processor time that one request's record takes, written down and all."""
    from proxy_app.accounting import Accounting  # needs Django's settings
    from proxy_app.events import EventHub
    from proxy_app.journal import Journal

    accounting = Accounting(Journal(folder), EventHub())
    records = accounting.records
    before = time.process_time()
    for number in range(count):
        record = records.begin("/v1/chat/completions", "fake", "fake", "127.0.0.1")
        accounting.granted(record, time.monotonic(), 0.0, 0)
        record.answered(200, streamed=False)
        record.piece(ANSWER)
        records.end(record)
        if number % 64 == 0:
            await asyncio.sleep(0)  # Lets what is due be written down.
    accounting.close()
    return (time.process_time() - before) * 1e6 / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = parser.parse_args()
    cores = Cores.pick()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(
            "Small JSON answers, 16 connections", Wrk(cores.load, scratch, 16, options.seconds)
        )
        targets: list[Target] = []
        for name, usage in ((ON, True), (OFF, False)):
            place = scratch / name.replace(" ", "-")
            place.mkdir()
            target = stack.enter_context(claracore(cores, place, usage=usage))
            targets.append(dataclasses.replace(target, name=name))
        listen(targets[0])
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            interleaved([run], targets)
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        record = asyncio.run(record_us(scratch / "journal"))
    for name in (ON, OFF):
        per_second, cpu = run.median(name, "per_second"), run.median(name, "cpu_us")
        print(f"{name:10} {per_second:10,.0f} requests/s {cpu:8.1f} us of processor a request")
    ratio = run.ratio(ON, OFF, "per_second")
    share = record / run.median(ON, "cpu_us")
    print(f"requests/s with / without: {ratio:.3f} (asked: {LEAST})")
    print(f"a record by itself: {record:.1f} us, {share:.1%} of a request")
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
