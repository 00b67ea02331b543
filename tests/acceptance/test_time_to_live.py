"""Idle models go when their own time is over, however they were loaded and whatever else runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import requests

from tests.server import ROOT, RunningServer, running_server, wait_until

ENGINE = f"{sys.executable} -m tests.fake_engine --port ${{PORT}}"
CONFIG = f"""
models:
  lasting:
    cmd: {ENGINE}
    env: ["PYTHONPATH={ROOT}"]
    ttl: 1000
  brief:
    cmd: {ENGINE}
    env: ["PYTHONPATH={ROOT}"]
    ttl: 1
  secure:
    cmd: {ENGINE}
    env: ["PYTHONPATH={ROOT}"]
    proxy: https://127.0.0.1:${{PORT}}
groups:
  beside:
    swap: false
    exclusive: false
    members: [lasting, brief, secure]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(CONFIG)
    with running_server(arguments=["--config", str(config), "--no-worker"]) as running:
        running.wait_for_models("lasting", "brief", "secure")
        yield running


def running(server: RunningServer) -> set[str]:
    reply = requests.get(f"{server.url}/running", timeout=30).json()
    return {model["model"] for model in reply["running"]}


def chat(server: RunningServer, model: str) -> requests.Response:
    body = {"model": model, "messages": []}
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)


def test_a_model_loaded_without_a_request_goes_too(server: RunningServer) -> None:
    requests.post(f"{server.url}/api/models/brief/load", timeout=60).raise_for_status()
    wait_until(lambda: "brief" not in running(server), "the unloading", server.said)


def test_a_short_time_is_not_overlooked_beside_a_long_one(server: RunningServer) -> None:
    assert chat(server, "lasting").ok
    assert chat(server, "brief").ok
    wait_until(lambda: running(server) == {"lasting"}, "the unloading", server.said)


def test_an_address_that_cannot_work_is_refused_at_once_and_holds_up_nobody(
    server: RunningServer,
) -> None:
    for _ in range(2):
        reply = chat(server, "secure")
        assert reply.status_code == 502
        assert "https" in reply.json()["error"]["message"]
    assert chat(server, "brief").ok
