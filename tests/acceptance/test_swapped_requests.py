"""Requests that wait for a swap reach their engines whole."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import requests
import yaml

from tests.server import ROOT, RunningServer, running_server

ENGINE = {
    "cmd": f"{sys.executable} -m tests.echo_engine ${{PORT}}",
    "env": [f"PYTHONPATH={ROOT}"],
    "checkEndpoint": "/",
}
SIZES = (1, 3_000, 70_000, 600_000)
"""Bytes: within one packet, within one read, beyond what is kept in memory."""


def ask(server: RunningServer, model: str, size: int) -> None:
    body = json.dumps({"model": model, "prompt": "x" * size}).encode()
    reply = requests.post(f"{server.url}/v1/completions", data=body, timeout=120)
    assert reply.status_code == 200, reply.text
    heard = reply.json()
    assert (heard["length"], heard["sha256"]) == (len(body), sha256(body).hexdigest())


def test_the_body_of_a_request_outlasts_the_wait_for_a_swap(tmp_path: Path) -> None:
    """llama-swap#635: the first request after a swap got an empty 400, its body lost."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {"one": ENGINE, "two": ENGINE}}))
    with running_server(arguments=["--config", str(config), "--no-worker"]) as server:
        server.wait_for_models("one", "two")
        for size in SIZES:
            for model in ("one", "two"):
                ask(server, model, size)
        with ThreadPoolExecutor(8) as clients:
            asked = [
                clients.submit(ask, server, ("one", "two")[turn % 2], SIZES[turn % 4])
                for turn in range(16)
            ]
        for one in asked:
            one.result()
