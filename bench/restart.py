"""How long a model is silent while the server is run anew under load.

    python -m bench.restart --model FILE.gguf [--rounds 5]

Clients ask for short streamed answers all the time, each over a connection of its own. Each round
asks for a hard restart and tells, from that request until every client was answered again:

    silence   the longest time in which no client received a single byte
    no answer the longest time between two answers' ends, of whatever clients
    connect   the longest time that a connection took to be made, and how many were refused

and whether the engine is the same process as before.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import psutil
import requests

from bench.swap_ratio import command
from tests.server import ROOT, RunningServer, running_server, wait_until

MODEL = "model"
CLIENTS = 4
LIMIT_SECONDS = 3.0
ASK = {"model": MODEL, "prompt": "The", "max_tokens": 4, "stream": True}


class Load:
    """Clients that never stop asking, and when they heard something."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.bytes: list[float] = []
        """When some arrived."""
        self.answers: list[float] = []
        """When one was complete."""
        self.connects: list[tuple[float, float]] = []
        """When one was made, and how long that took."""
        self.failed: list[str] = []
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self._connect()
                with requests.post(
                    f"{self._url}/v1/completions", json=ASK, timeout=120, stream=True
                ) as reply:
                    whole = b""
                    for piece in reply.iter_content(None):
                        self.bytes.append(time.monotonic())
                        whole += piece
            except requests.RequestException as error:
                self.failed.append(str(error))
                continue
            if reply.ok and whole.rstrip().endswith(b"data: [DONE]"):
                self.answers.append(time.monotonic())
            else:
                self.failed.append(whole.decode(errors="replace"))

    def _connect(self) -> None:
        began = time.monotonic()
        host, _, port = self._url.removeprefix("http://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=60).close()
        except OSError as error:
            self.failed.append(f"no connection: {error}")
        now = time.monotonic()
        self.connects.append((now, now - began))

    def stop(self) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()


def longest_gap(moments: list[float], since: float) -> float:
    """The longest time between two of the moments after one, that one included."""
    return max(later - at for at, later in pairwise([since, *(m for m in moments if m > since)]))


def engine_of(server: RunningServer) -> int:
    for child in psutil.Process(server.process.pid).children(recursive=True):
        if child.name() == "llama-server":
            return child.pid
    raise AssertionError("no engine runs")


def restart(server: RunningServer, load: Load) -> dict[str, float]:
    engine, seen = engine_of(server), server.said().count("Starting anew.")
    asked = time.monotonic()
    requests.post(f"{server.url}/api/server/restart/hard", timeout=120).raise_for_status()
    replied = time.monotonic()
    wait_until(lambda: server.said().count("Starting anew.") > seen, "the restart", server.said)
    count = len(load.answers)
    wait_until(lambda: len(load.answers) > count + 2 * CLIENTS, "answers", server.said)
    return {
        "reply": replied - asked,
        "silence": longest_gap(sorted(load.bytes), asked),
        "no answer": longest_gap(sorted(load.answers), asked),
        "connect": max(seconds for at, seconds in load.connects if at >= asked),
        "same engine": float(engine_of(server) == engine),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.yaml"
        line = command(options.model.absolute(), "${PORT}")
        config.write_text(f"models:\n  {MODEL}:\n    cmd: |\n      {line}\n")
        with running_server(arguments=["--config", str(config)]) as server:
            server.wait_for_models(MODEL)
            requests.post(f"{server.url}/v1/completions", json=ASK, timeout=120).raise_for_status()
            load = Load(server.url)
            try:
                wait_until(lambda: len(load.answers) > CLIENTS, "the load", server.said)
                rounds = [restart(server, load) for _ in range(options.rounds)]
            finally:
                load.stop()
    kept = all(one["same engine"] for one in rounds)
    print(f"{len(rounds)} hard restarts with {CLIENTS} clients, {len(load.answers)} answers")
    for what in ("reply", "silence", "no answer", "connect"):
        values = [one[what] for one in rounds]
        print(f"{what:10} s: median {statistics.median(values):.2f}, max {max(values):.2f}")
    print(f"the engine stayed the same: {'always' if kept else 'NO'}")
    print(f"refused, or without a whole answer: {len(load.failed)} {load.failed[:3]}")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "restart.json").write_text(json.dumps(rounds, indent=1))
    longest = max(one["silence"] for one in rounds)
    return 0 if kept and not load.failed and longest <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
