"""The playground in a real browser, talking to real engines."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, WEIGHT_LIMIT, Watched, watched
from tests.ggufs import write_embedder, write_reciter
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

PAGE = "/ui/playground/"
FOX = "The quick brown fox jumps over the lazy dog."
RICH = (
    "# Rainbows\n\nSun and **rain**:\n\n| colour | nm |\n|---|---|\n| red | 700 |\n\n"
    "```python\nbow = sun + rain\n```\n\n![spy](http://spy.example/x.png) "
    '<img src="http://spy.example/y.png" onerror="document.title = 1"> '
    "[more](https://more.example) [clear](/unload)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("playground")
    write_reciter(folder / "fox-f32.gguf", FOX)
    write_reciter(folder / "rich-f32.gguf", RICH)
    write_reciter(folder / "endless-f32.gguf", FOX, endless=True, context_length=65536)
    write_reciter(folder / "tale-base-f32.gguf", FOX, endless=True, context_length=65536)
    write_embedder(folder / "letters-f32.gguf")
    config = folder / "config.yaml"
    failing = "cmd: sh -c 'echo out of luck; exit 3' sh ${PORT}"
    config.write_text(f"models:\n  broken:\n    {failing}\n  riddle:\n    {failing}\n")
    with running_server(folder, arguments=["--config", str(config)]) as running:
        running.wait_for_models(
            "fox", "rich", "endless", "tale-base", "letters", "broken", "riddle"
        )
        yield running


@pytest.fixture
def chat(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    with watched(browser, server.url) as seen:
        open_chat(seen, "fox")
        yield seen
        seen.check_quiet()


def open_chat(seen: Watched, model: str) -> None:
    seen.open(f"{PAGE}?model={model}")
    expect(seen.page.locator("#play[data-ready]")).to_be_visible()


def ask(seen: Watched, text: str) -> None:
    seen.page.locator("#question").fill(text)
    seen.page.locator("#question").press("Enter")


def body_of(asked: Any) -> Any:
    """What the page sent."""
    return json.loads(asked.value.post_data)


def expect_answers(seen: Watched, count: int) -> None:
    """Until so many answers are there, whole."""
    whole = seen.page.locator('.message[data-role="assistant"]:not([data-busy])')
    expect(whole).to_have_count(count)


def test_an_answer_comes_as_safe_markup_with_what_it_took(
    chat: Watched, server: RunningServer
) -> None:
    open_chat(chat, "rich")
    ask(chat, "What is a rainbow?")
    expect_answers(chat, 1)
    answer = chat.page.locator(".message > .answer").last
    expect(answer.locator("h3")).to_have_text("Rainbows")
    expect(answer.locator("td").first).to_have_text("red")
    expect(answer.locator(".code .button")).to_have_text("Copy")
    expect(answer.locator("img")).to_have_count(0)
    # A click would come from our own page, and /unload would do what it says.
    expect(answer.get_by_text("clear", exact=True)).not_to_have_attribute("href", re.compile(""))
    link = answer.get_by_role("link", name="more")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    figures = chat.page.locator(".message-figures")
    for told in ("First token", "Speed", "Tokens", "Prompt", "In all"):
        expect(figures).to_contain_text(told)
    expect(chat.page.locator("#announcer")).to_contain_text("rich answered")
    chat.check()
    assert chat.weight() < WEIGHT_LIMIT


def test_an_answer_is_stopped_repeated_and_its_question_changed(chat: Watched) -> None:
    open_chat(chat, "endless")
    ask(chat, "Go on")
    expect(chat.page.locator(".message > .answer")).to_contain_text("lazy dog")
    chat.page.keyboard.press("Escape")
    expect_answers(chat, 1)
    expect(chat.page.locator(".message-figures")).to_contain_text("by you")
    chat.page.locator(".thread select").select_option("fox")
    chat.page.get_by_role("button", name="Answer again").click()
    expect_answers(chat, 1)
    versions = chat.page.locator('.message[data-role="assistant"] .versions')
    expect(versions).to_contain_text("2 / 2")
    versions.get_by_role("button", name="The version before").click()
    expect(versions).to_contain_text("1 / 2")
    chat.page.get_by_role("button", name="Change this message").click()
    chat.page.locator(".edit-message textarea").fill("Say something else")
    chat.page.locator(".edit-message textarea").press("Enter")
    expect_answers(chat, 1)
    mine = chat.page.locator('.message[data-role="user"]')
    expect(mine.locator(".message-text")).to_have_text("Say something else")
    expect(mine.locator(".versions")).to_contain_text("2 / 2")


def test_two_models_answer_the_same_question_side_by_side(chat: Watched) -> None:
    chat.page.get_by_role("button", name="Compare").click()
    threads = chat.page.locator(".thread")
    expect(threads).to_have_count(2)
    threads.nth(1).locator("select").select_option("rich")
    ask(chat, "Both of you")
    expect_answers(chat, 2)
    expect(threads.nth(0).locator(".message > .answer")).to_have_text(FOX)
    expect(threads.nth(1).locator(".message > .answer")).to_contain_text("Rainbows")
    for thread in threads.all():
        expect(thread.locator(".message-figures")).to_contain_text("First token")
    chat.check()


def test_conversations_stay_in_the_browser_until_they_are_deleted(chat: Watched) -> None:
    ask(chat, "Remember me")
    expect_answers(chat, 1)
    chat.page.reload()
    expect_answers(chat, 1)
    row = chat.page.locator(".play-row")
    expect(row.locator("a")).to_have_text("Remember me")
    row.locator("summary").click()
    row.get_by_role("button", name="Rename").click()
    row.locator("input").fill("Kept")
    row.locator("input").press("Enter")
    expect(row.locator("a")).to_have_text("Kept")
    row.locator("summary").click()
    with chat.page.expect_download() as download:
        row.get_by_role("button", name="Save as Markdown").click()
    assert download.value.suggested_filename == "kept.md"
    text = Path(download.value.path()).read_text()
    assert "## You\n\nRemember me" in text
    assert FOX in text
    row.locator("summary").click()
    row.get_by_role("button", name="Delete").click()
    chat.page.locator("#confirm-yes").click()
    expect(chat.page.locator(".play-row")).to_have_count(0)


def test_a_conversation_deleted_while_its_answer_comes_stays_deleted(chat: Watched) -> None:
    open_chat(chat, "endless")
    ask(chat, "Go on")
    expect(chat.page.locator(".message > .answer")).to_contain_text("lazy dog")
    rows = chat.page.locator("#conversations-list [data-id]")
    rows.first.locator("summary").click()
    rows.first.locator("[data-act=remove]").click()
    chat.page.locator("#confirm-yes").click()
    expect(rows).to_have_count(0)
    open_chat(chat, "fox")
    expect(rows).to_have_count(0)


def test_parameters_and_the_system_prompt_are_sent(chat: Watched) -> None:
    page = chat.page
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Most tokens").fill("3")
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(chat, "Go")
    body = body_of(asked)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["max_tokens"] == 3
    assert "system" not in body
    expect_answers(chat, 1)
    expect(page.locator(".message-figures")).to_contain_text("at the most tokens allowed")


def test_a_base_model_goes_on_with_a_text_and_comes_to_an_end(chat: Watched) -> None:
    """Asked as a chat model it wrote marks of a template it was never taught, for minutes."""
    open_chat(chat, "tale-base")
    expect(chat.page.get_by_text("How does your text begin?")).to_be_visible()
    expect(chat.page.get_by_text("What would you like to know?")).to_be_hidden()
    with chat.page.expect_request("**/v1/completions") as asked:
        ask(chat, "Once upon a time")
    sent = body_of(asked)
    assert (sent["prompt"], sent["max_tokens"]) == ("Once upon a time", 256)
    expect_answers(chat, 1)
    expect(chat.page.locator(".message > .answer").last).to_contain_text(FOX)
    chat.check()


def test_a_model_that_does_not_start_says_why_and_where_to_look(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url) as seen:
        open_chat(seen, "broken")
        ask(seen, "Hello?")
        problem = seen.page.locator(".message .notice")
        expect(problem).to_contain_text("The model did not start")
        expect(problem).to_contain_text("out of luck")
        log = problem.get_by_role("link", name="Look at its log")
        expect(log).to_have_attribute("href", "/ui/logs/?source=broken")


def test_an_image_goes_along_with_a_question(browser: Browser, server: RunningServer) -> None:
    """Of an engine with a command of its own nobody knows whether it sees, so it is offered one."""
    with watched(browser, server.url) as seen:
        open_chat(seen, "riddle")
        pixel = seen.page.evaluate(
            "() => { const c = document.createElement('canvas'); c.width = c.height = 8;"
            " return c.toDataURL('image/png').split(',')[1]; }"
        )
        seen.page.locator('#composer input[type="file"]').set_input_files(
            {"name": "dot.png", "mimeType": "image/png", "buffer": base64.b64decode(pixel)}
        )
        expect(seen.page.locator(".attached-file")).to_contain_text("dot.png")
        with seen.page.expect_request("**/v1/chat/completions") as asked:
            ask(seen, "What is this?")
        [message] = body_of(asked)["messages"]
        assert message["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
        assert message["content"][1] == {"type": "text", "text": "What is this?"}
        expect(seen.page.locator(".message-files img")).to_have_attribute("alt", "dot.png")


def test_embeddings_show_how_alike_lines_are(chat: Watched) -> None:
    chat.open(f"{PAGE}embeddings/")
    chat.page.get_by_role("button", name="Compare").click()
    expect(chat.page.locator(".likeness td").nth(1)).to_have_text("1.00")
    chat.check()


def test_on_a_phone_the_chat_fits_and_its_panels_open(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url, color_scheme="dark", **PHONE) as seen:
        open_chat(seen, "fox")
        ask(seen, "Hello")
        expect_answers(seen, 1)
        seen.check_fits()
        seen.page.locator('.play-bar [data-panel="settings"]').click()
        expect(seen.page.get_by_label("Temperature")).to_be_visible()
        seen.page.keyboard.press("Escape")
        expect(seen.page.get_by_label("Temperature")).not_to_be_visible()
        seen.check()


def test_streams_are_read_in_whatever_pieces_they_come(chat: Watched) -> None:
    told = chat.page.evaluate(
        """async () => {
          const { EventParser } = await import("/static/ui/js/playground/stream.js");
          const text = ': alive\\r\\n\\r\\ndata: {"a":\\ndata: 1}\\n\\n'
            + 'event: x\\ndata: [DONE]\\n\\n';
          const cuts = [...text].map((_, at) => {
            const parser = new EventParser();
            return [...parser.feed(text.slice(0, at)), ...parser.feed(text.slice(at))];
          });
          return [...new Set(cuts.map((found) => JSON.stringify(found)))];
        }"""
    )
    assert told == ['["{\\"a\\":\\n1}","[DONE]"]']


def test_thoughts_and_calls_of_tools_are_put_together(chat: Watched) -> None:
    told = chat.page.evaluate(
        """async () => {
          const { Answer, Watch, figuresOf } = await import("/static/ui/js/playground/answer.js");
          const answer = new Answer(), watch = new Watch(0);
          const take = (delta, now, more = {}) => {
            answer.take({ choices: [{ delta, ...more }] }); watch.saw(answer, now);
          };
          take({ reasoning_content: "Hm" }, 100);
          take({ reasoning_content: "m." }, 200);
          const call = (id, named) => ({ tool_calls: [{ index: 0, id, function: named }] });
          take(call("c1", { name: "look", arguments: "{\\"a" }), 400);
          take(call(undefined, { arguments: "\\":1}" }), 500, { finish_reason: "tool_calls" });
          answer.take({ usage: { prompt_tokens: 7, completion_tokens: 11 } });
          watch.ended = 1100;
          return [answer.reasoning, answer.calls, answer.finish, figuresOf(answer, watch)];
        }"""
    )
    assert told[:3] == [
        "Hmm.",
        [{"id": "c1", "name": "look", "arguments": '{"a":1}'}],
        "tool_calls",
    ]
    figures = told[3]
    assert figures["firstMs"] == 100
    assert figures["thoughtMs"] == 300
    assert figures["perSecond"] == 10
    assert figures["promptTokens"] == 7
