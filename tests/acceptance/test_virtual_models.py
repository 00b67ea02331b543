"""A virtual model is the first of its members that is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from tests.server import ROOT, RunningServer, running_server


def engine(name: str) -> dict[str, Any]:
    command = f"{sys.executable} -m tests.fake_engine --alias {name} --port ${{PORT}}"
    return {"cmd": command, "env": [f"PYTHONPATH={ROOT}"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    models = {name: engine(name) for name in ("large", "small")}
    virtual = {"best": {"members": ["large", "small"]}}
    config.write_text(yaml.safe_dump({"models": models, "virtual": virtual}))
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models("large", "small", "best")
        yield running


def ask(server: RunningServer, model: str) -> str:
    body = {"model": model, "messages": []}
    reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert reply.ok, reply.text
    said: str = reply.json()["choices"][0]["message"]["content"]
    return said


def test_it_is_the_first_when_none_is_loaded_and_the_loaded_one_otherwise(
    server: RunningServer,
) -> None:
    assert requests.post(f"{server.url}/api/models/unload", timeout=60).ok
    assert ask(server, "best") == "hello from large"
    assert ask(server, "small") == "hello from small"
    # The two take turns: asking for the first would unload the second.
    assert ask(server, "best") == "hello from small"
    assert ask(server, "large") == "hello from large"
    assert ask(server, "best") == "hello from large"


def test_it_stands_in_the_configuration_that_is_written(server: RunningServer) -> None:
    written = yaml.safe_load((server.home / "config.yaml").read_text())
    assert written["virtual"] == {"best": {"members": ["large", "small"]}}
