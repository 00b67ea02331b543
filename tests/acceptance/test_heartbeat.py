"""Signs of life while a model really loads."""

from __future__ import annotations

import sys
from pathlib import Path

import openai
import requests
import yaml

from tests.management import in_home
from tests.server import ROOT, RunningServer, running_server, wait_until

HEARTBEAT = """
from models_app.models import ServerSettings
row = ServerSettings.current()
row.loading_heartbeat = 1
row.save()
"""
COMMENT = b": the model is loading\n\n"


def stream(server: RunningServer) -> bytes:
    """All of a streamed answer for which the model is loaded first."""
    requests.post(f"{server.url}/api/models/unload", timeout=60)
    body = {"model": "slow", "stream": True, "messages": []}
    reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert reply.status_code == 200
    return reply.content


def test_a_stream_says_that_the_model_loads_and_then_what_the_engine_says(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tests.fake_engine --load-seconds 2.5 --port ${{PORT}}"
    config = tmp_path / "config.yaml"
    engine = {"cmd": command, "env": [f"PYTHONPATH={ROOT}"]}
    config.write_text(yaml.safe_dump({"models": {"slow": engine}}))
    with running_server(arguments=["--config", str(config), "--no-worker"]) as server:
        server.wait_for_models("slow")
        assert COMMENT not in stream(server)
        in_home(server.home, HEARTBEAT)
        wait_until(lambda: stream(server).startswith(COMMENT), "a sign of life", server.said)

        answer = stream(server)
        assert answer.startswith(2 * COMMENT)
        assert answer.replace(COMMENT, b"").startswith(b"data: {")
        assert answer.endswith(b"data: [DONE]\n\n")

        # A stream of sound begins when the engine says what it is: comments would be noise in it.
        requests.post(f"{server.url}/api/models/unload", timeout=60)
        speech = {"model": "slow", "stream": True, "input": "hello"}
        told = requests.post(f"{server.url}/v1/audio/speech", json=speech, timeout=60)
        assert (told.status_code, told.json()["error"]["message"]) == (404, "File Not Found")

        requests.post(f"{server.url}/api/models/unload", timeout=60)
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            chunks = client.chat.completions.create(model="slow", messages=[], stream=True)
            said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == "hello from fake"
