"""Switching between two warm models, beside what the engines alone take for it, in one run.

    python -m bench.swap_ratio --model FILE.gguf [--rounds 20]

Each round does both: the bare engine is stopped and started by hand, asked for its health every
2 ms; and the server is asked for the model that is not loaded. What the first one-token answer of
a fresh engine takes is measured on the bare one and taken off the server's time. The figure is

    (request to answer - a fresh engine's first answer) / (old one's stop + new one's time to ready)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from tests.llama import binary
from tests.server import ROOT, RunningServer, free_port, running_server

MODELS = ("one", "two")
LIMIT = 1.15
POLL_SECONDS = 0.002
OPTIONS = "--fit off -c 4096 --threads 2 --no-webui"
ASK = {"prompt": "The", "max_tokens": 1}


def command(model: Path, port: str) -> str:
    return f'{binary()} -m "{model}" --host 127.0.0.1 --port {port} {OPTIONS}'


class Bare:
    """The engine by itself."""

    def __init__(self, model: Path) -> None:
        program = binary()
        assert program is not None, "no llama-server was found"
        self._model = model
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(program.parent)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> tuple[float, float]:
        """Seconds until it is ready, and from then to its first answer."""
        port = free_port()
        began = time.monotonic()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command(self._model, str(port))}"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        while not _healthy(url):
            time.sleep(POLL_SECONDS)
        ready = time.monotonic()
        requests.post(f"{url}/v1/completions", json=ASK, timeout=120).raise_for_status()
        return ready - began, time.monotonic() - ready

    def stop(self) -> float:
        """Seconds from SIGTERM to its end."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        self._process.wait()
        return time.monotonic() - began


def _healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def switch(server: RunningServer, model: str) -> float:
    """Seconds from the request for a model that is not loaded to its answer."""
    began = time.monotonic()
    reply = requests.post(f"{server.url}/v1/completions", json={**ASK, "model": model}, timeout=120)
    reply.raise_for_status()
    return time.monotonic() - began


def measure(model: Path, rounds: int) -> list[dict[str, float]]:
    entries = "\n".join(
        f"  {name}:\n    cmd: |\n      {command(model, '${PORT}')}" for name in MODELS
    )
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.yaml"
        config.write_text(f"models:\n{entries}\n")
        bare = Bare(model)
        bare.start()
        with running_server(arguments=["--config", str(config)]) as server:
            server.wait_for_models(*MODELS)
            switch(server, MODELS[1])
            for turn in range(rounds):
                stopped = bare.stop()
                ready, answered = bare.start()
                switched = switch(server, MODELS[turn % 2])
                found.append(
                    {
                        "stop": stopped,
                        "ready": ready,
                        "first answer": answered,
                        "switch": switched - answered,
                        "ratio": (switched - answered) / (stopped + ready),
                    }
                )
        bare.stop()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    rounds = measure(options.model.absolute(), options.rounds)
    print(f"{len(rounds)} switches of {options.model.name}, seconds")
    for part in rounds[0]:
        values = sorted(one[part] for one in rounds)
        print(
            f"{part:14} median {statistics.median(values):7.3f}"
            f"   from {values[0]:7.3f} to {values[-1]:7.3f}"
        )
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "swap_ratio.json").write_text(json.dumps(rounds, indent=1))
    return 0 if statistics.median(one["ratio"] for one in rounds) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
