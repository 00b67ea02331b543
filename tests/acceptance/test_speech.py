"""Speech made and understood through the gateway, by real programs as custom commands."""

from __future__ import annotations

import io
import sys
import wave
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml
from openai import OpenAI

from tests.server import KEYED, ROOT, RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    engine = {
        "cmd": f"{sys.executable} -m tests.speech_engine ${{PORT}}",
        "env": [f"PYTHONPATH={ROOT}"],
    }
    models = {"tts-model": engine, "whisper-1": engine}
    group = {"audio": {"swap": False, "exclusive": False, "members": list(models)}}
    config.write_text(yaml.safe_dump({"models": models, "groups": group}))
    with running_server(arguments=["--config", str(config), "--no-worker"]) as running:
        running.wait_for_models(*models)
        yield running


@pytest.mark.parametrize("words", ["go forward ten meters", "turn around two degrees"])
def test_what_one_model_says_another_understands(server: RunningServer, words: str) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        sound = client.audio.speech.create(model="tts-model", input=words, voice="alloy").content
        with wave.open(io.BytesIO(sound)) as file:
            assert file.getframerate() > 8000
        reply = client.audio.transcriptions.create(model="whisper-1", file=("said.wav", sound))
        assert reply.text == words
        form: Any = {"data": {"model": "whisper-1"}, "files": {"file": ("said.wav", sound)}}
        url = f"{server.url}/v1/audio/translations"
        assert requests.post(url, headers=KEYED, timeout=60, **form).json() == {"text": words}


def test_voices_are_listed_for_a_model(server: RunningServer) -> None:
    reply = requests.get(f"{server.url}/v1/audio/voices?model=tts-model", headers=KEYED, timeout=60)
    assert reply.json() == {"voices": ["alloy"]}
