"""A model that a configuration has loaded at the start, and whom its engine listens to."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests import llama
from tests.acceptance.conftest import write_models
from tests.acceptance.test_lifecycle import engines
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine


def state(server: RunningServer, model: str) -> object:
    listed = requests.get(f"{server.url}/api/models", timeout=60).json()["models"]
    return next((one["state"] for one in listed if one["id"] == model), None)


def test_a_preloaded_model_is_up_without_a_request_and_its_engine_knows_the_gateway_alone(
    tmp_path: Path,
) -> None:
    write_models(tmp_path / "models")
    (file,) = (tmp_path / "models").glob("fox*.gguf")
    config = tmp_path / "config.yaml"
    config.write_text(
        f"models: {{one: {{cmd: '{llama.binary()} --port ${{PORT}} -c 512 -m {file}'}}}}\n"
        "hooks: {on_startup: {preload: [one]}}\n"
    )
    with running_server(arguments=["--config", str(config), "--no-worker"]) as server:
        wait_until(lambda: state(server, "one") == "ready", "the preloaded model", server.said)
        (engine,) = engines(server)
        assert "LLAMA_API_KEY" in engine.environ()
        (listener,) = [one for one in engine.net_connections("tcp") if one.status == "LISTEN"]
        assert listener.laddr.ip == "127.0.0.1"
        direct = f"http://127.0.0.1:{listener.laddr.port}/completion"
        assert requests.post(direct, json={"prompt": ""}, timeout=60).status_code == 401
        entries = list((server.home / "run" / "engines").glob("*.json"))
        assert [entry.stat().st_mode & 0o777 for entry in entries] == [0o600]
        through = requests.post(f"{server.url}/upstream/one/completion", json={"prompt": ""})
        assert through.ok, through.text
