"""What a swap costs besides the engines themselves.

Two models take turns, one request each. The engines mark when they are told to stop, end, are
spawned, answer healthy and receive the request; what lies between these marks is ours:

    request sent -> old engine told to stop
    old engine ended -> new engine spawned
    new engine healthy -> request received by it

    python -m bench.swap [--swaps 200]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

from tests.server import ROOT, running_server

MODELS = ("one", "two")
LIMIT_MS = 50.0


def configuration(marks: Path) -> str:
    script = ROOT / "bench" / "marking_engine.sh"
    entries = "\n".join(
        f'  {model}:\n    cmd: /bin/sh "{script}" "{sys.executable}" "{marks}" ${{PORT}}'
        for model in MODELS
    )
    return f"models:\n{entries}\n"


def swap(url: str, model: str, marks: Path) -> dict[str, float]:
    """One swap; how long each part of ours took, in milliseconds."""
    marks.write_text("")
    sent = time.time_ns()
    body = {"model": model, "messages": []}
    reply = requests.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert reply.ok, reply.text
    at: dict[str, int] = {}
    for line in marks.read_text().splitlines():
        event, moment = line.split()
        at.setdefault(event, int(moment))
    parts = {
        "request to stop": at["told-to-stop"] - sent,
        "old ended to new spawned": at["spawned"] - at["ended"],
        "healthy to forwarded": at["request"] - at["healthy"],
    }
    parts["ours in all"] = sum(parts.values())
    return {name: nanoseconds / 1e6 for name, nanoseconds in parts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200)
    count = parser.parse_args().swaps
    with tempfile.TemporaryDirectory() as scratch:
        marks, config = Path(scratch) / "marks", Path(scratch) / "config.yaml"
        marks.touch()
        config.write_text(configuration(marks))
        with running_server(arguments=["--config", str(config)]) as server:
            server.wait_for_models(*MODELS)
            body = {"model": MODELS[1], "messages": []}
            requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
            swaps = [swap(server.url, MODELS[turn % 2], marks) for turn in range(count)]
    report(swaps)
    return 0 if p99([one["ours in all"] for one in swaps]) < LIMIT_MS else 1


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def report(swaps: list[dict[str, float]]) -> None:
    print(f"{len(swaps)} swaps, milliseconds")
    print(f"{'part':28} {'median':>8} {'p90':>8} {'p99':>8} {'max':>8}")
    for part in swaps[0]:
        values = sorted(one[part] for one in swaps)
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        print(
            f"{part:28} {statistics.median(values):8.1f} {cuts[89]:8.1f} {cuts[98]:8.1f} "
            f"{values[-1]:8.1f}"
        )
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "swap.json").write_text(json.dumps(swaps, indent=1))


if __name__ == "__main__":
    sys.exit(main())
