"""Once with a real model: the starter, fetched and served as `make demo` does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from downloads_app import starter
from tests.server import ROOT, RunningServer, clean_environment, running_server

pytestmark = pytest.mark.engine

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    fetched = subprocess.run(
        [sys.executable, "manage.py", "starter"],
        cwd=ROOT,
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    assert fetched.stdout.index("Gemma Terms of Use") < fetched.stdout.index("is there")
    assert [path.name for path in (home / "starter").iterdir()] == [starter.FILE_NAME]
    with running_server(Path(home / "starter"), home=home) as running:
        running.wait_for_models("gemma-3-270m")
        yield running


@pytest.fixture
def client(gemma: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gemma.url}/v1", api_key="none", max_retries=0) as openai:
        yield openai


def test_it_completes_a_sentence_as_the_model_does(client: OpenAI) -> None:
    reply = client.completions.create(
        model="gemma-3-270m", prompt=PROMPT, max_tokens=8, temperature=0
    )
    assert "France" in reply.choices[0].text
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 8


def test_it_chats_streaming_and_not(client: OpenAI) -> None:
    whole = client.chat.completions.create(
        model="gemma-3-270m", messages=[{"role": "user", "content": PROMPT}], max_tokens=8
    )
    assert whole.choices[0].message.content
    stream = client.chat.completions.create(
        model="gemma-3-270m",
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=8,
        stream=True,
    )
    pieces = [
        c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content
    ]
    assert len(pieces) > 1
