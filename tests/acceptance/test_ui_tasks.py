"""What models do besides answering in words, tried in a real browser with real engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
import requests
import yaml
from playwright.sync_api import Browser, Route, expect

from tests.browser import PHONE, Watched, watched
from tests.ggufs import write_reciter, write_reranker
from tests.server import ROOT, RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

PAGE = "/ui/playground/"
WORDS = "go forward ten meters"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("tasks")
    write_reciter(folder / "fox-f32.gguf", "Yes.")
    write_reranker(folder / "sorter-reranker-f32.gguf")
    engine = {
        "cmd": f"{sys.executable} -m tests.speech_engine ${{PORT}}",
        "env": [f"PYTHONPATH={ROOT}"],
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {"tts-model": engine, "whisper-1": engine}}))
    with running_server(folder, arguments=["--config", str(config)]) as running:
        running.wait_for_models("fox", "sorter-reranker", "tts-model", "whisper-1")
        yield running


@pytest.fixture
def seen(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    with watched(browser, server.url) as watched_page:
        yield watched_page
        watched_page.check_quiet()


def test_what_one_model_speaks_another_writes_down(seen: Watched) -> None:
    page = seen.page
    seen.open(f"{PAGE}speech/?model=tts-model")
    page.get_by_label("Text").fill(WORDS)
    page.get_by_role("button", name="Speak").click()
    expect(page.locator("#answer audio")).to_be_visible()
    expect(page.locator("#answer")).to_contain_text("Spoken in")
    seen.check()
    body = {"model": "tts-model", "input": WORDS}
    sound = requests.post(f"{seen.origin}/v1/audio/speech", json=body, timeout=60).content
    seen.open(f"{PAGE}transcription/?model=whisper-1")
    page.get_by_role("button", name="Write it down").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a file, or record something.")
    page.get_by_label("Sound file").set_input_files(
        {"name": "said.wav", "mimeType": "audio/wav", "buffer": sound}
    )
    expect(page.locator("#heard")).to_be_visible()
    page.get_by_role("button", name="Write it down").click()
    expect(page.locator("#answer")).to_contain_text(WORDS)
    seen.check()


def test_lines_are_ranked_by_how_well_they_answer(seen: Watched) -> None:
    seen.open(f"{PAGE}?model=sorter-reranker")
    expect(seen.page).to_have_url(f"{seen.origin}{PAGE}rerank/?model=sorter-reranker")
    seen.page.get_by_label("Texts that may answer it").fill("aaaa\nzzzz\nazaz")
    seen.page.get_by_role("button", name="Rank").click()
    ranked = seen.page.locator(".ranked li span:first-child")
    expect(ranked).to_have_text(["zzzz", "azaz", "aaaa"])
    seen.check()


def test_thoughts_are_folded_and_calls_of_tools_are_shown(seen: Watched) -> None:
    """As engines stream both; models small enough for tests neither think nor call."""
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"in": "Oslo"}'}}
    deltas = [{"reasoning_content": "It may rain."}, {"content": "I look."}, {"tool_calls": [call]}]
    chunks = [json.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
    stream = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"])

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/event-stream", body=stream)

    seen.open(f"{PAGE}?model=fox")
    expect(seen.page.locator("#play[data-ready]")).to_be_visible()
    seen.page.route("**/v1/chat/completions", answer)
    seen.page.locator("#question").fill("Is it warm in Oslo?")
    seen.page.locator("#question").press("Enter")
    thoughts = seen.page.locator(".thoughts")
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    expect(thoughts.get_by_text("It may rain.")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.get_by_text("It may rain.")).to_be_visible()
    shown = seen.page.locator(".call")
    expect(shown).to_contain_text("weather")
    expect(shown.locator("code")).to_have_text('{\n  "in": "Oslo"\n}')
    seen.check()


@pytest.mark.parametrize("task", ["speech", "transcription", "rerank"])
def test_the_pages_fit_a_phone_in_the_dark(
    browser: Browser, server: RunningServer, task: str
) -> None:
    with watched(browser, server.url, color_scheme="dark", **PHONE) as phone:
        phone.open(f"{PAGE}{task}/")
        phone.expect_live()
        phone.check_fits()
        phone.check()
