"""How long a model is silent while the server is run anew under load.

    python -m bench.restart --model FILE.gguf [--rounds 5]

Clients ask for short answers all the time. Each round asks for a hard restart, and tells how long
no answer came, and whether the engine is the same process as before.
"""

from __future__ import annotations

import argparse
import json
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
ASK = {"model": MODEL, "prompt": "The", "max_tokens": 4}


class Load:
    """Clients that never stop asking, and when they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.answers: list[float] = []
        self.refused: list[str] = []
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                reply = requests.post(f"{self._url}/v1/completions", json=ASK, timeout=120)
            except requests.RequestException as error:
                self.refused.append(str(error))
                continue
            if reply.ok:
                self.answers.append(time.monotonic())
            else:
                self.refused.append(reply.text)

    def stop(self) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()


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
    wait_until(lambda: len(load.answers) > count + CLIENTS, "answers", server.said)
    during = [at for at in load.answers if at >= asked]
    silence = max(later - at for at, later in pairwise(during))
    return {
        "reply": replied - asked,
        "silence": silence,
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
    silences = [one["silence"] for one in rounds]
    kept = all(one["same engine"] for one in rounds)
    print(f"{len(rounds)} hard restarts with {CLIENTS} clients, {len(load.answers)} answers")
    print(f"no answer for, in s: median {statistics.median(silences):.2f}, max {max(silences):.2f}")
    print(f"the engine stayed the same: {'always' if kept else 'NO'}")
    print(f"requests without an answer: {len(load.refused)} {load.refused[:3]}")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "restart.json").write_text(json.dumps(rounds, indent=1))
    return 0 if kept and max(silences) <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
