"""The models page in a real browser, on the real server with real engines."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Locator, expect

from tests.acceptance.conftest import FOX, write_models
from tests.browser import PHONE, WEIGHT_LIMIT, Watched, watched
from tests.ggufs import write_gguf, write_reciter
from tests.server import (
    ROOT,
    RunningServer,
    clean_environment,
    new_home,
    running_server,
    wait_until,
)

pytestmark = [pytest.mark.browser, pytest.mark.engine]

MODELS = "/ui/models/"


def card(seen: Watched, model: str) -> Locator:
    return seen.page.locator(f'[data-model="{model}"]')


def button(seen: Watched, model: str) -> Locator:
    return card(seen, model).locator('[data-slot="act"]')


def expect_state(seen: Watched, model: str, state: str) -> None:
    expect(card(seen, model)).to_have_attribute("data-state", state)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of its own: what the page shows must not depend on other tests' models."""
    folder = write_models(tmp_path_factory.mktemp("ui"))
    unknown = {"{arch}.block_count": 1, "tokenizer.chat_template": "{{ messages }}"}
    write_gguf(folder / "alien-f32.gguf", "alien", unknown, {"a": np.zeros((4, 4), np.float32)})
    config = folder / "config.yaml"
    config.write_text("models:\n  sleeper:\n    cmd: sleep 600 ${PORT}\n")
    with running_server(folder, arguments=["--config", str(config)]) as running:
        running.wait_for_models("fox", "sea", "endless", "letters", "alien", "sleeper")
        yield running


@pytest.fixture
def ui(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    """The page on the shared server, which must leave no complaint and stay on its host."""
    requests.post(f"{server.url}/api/models/unload", timeout=60)
    with watched(browser, server.url) as seen:
        seen.open(MODELS)
        seen.expect_live()
        yield seen
        seen.check_quiet()
    requests.post(f"{server.url}/api/models/unload", timeout=60)


def test_a_model_is_loaded_and_unloaded_and_every_page_sees_it(
    ui: Watched, browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url) as other:
        other.open(MODELS)
        other.expect_connection("live")
        expect(button(ui, "fox")).to_contain_text("Load")
        button(ui, "fox").click()
        for page in (ui, other):
            expect_state(page, "fox", "ready")
            expect(button(page, "fox")).to_contain_text("Unload")
        button(other, "fox").click()
        for page in (ui, other):
            expect_state(page, "fox", "stopped")
            expect(button(page, "fox")).to_contain_text("Load")
        assert other.complaints == []


def test_work_of_other_clients_is_seen(ui: Watched, server: RunningServer) -> None:
    body = {"model": "endless", "messages": [{"role": "user", "content": "Go"}], "stream": True}
    with requests.post(
        f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=60
    ) as reply:
        next(reply.iter_content(chunk_size=None))
        expect_state(ui, "endless", "ready")


def test_who_pressed_a_button_by_keyboard_keeps_the_focus(ui: Watched) -> None:
    button(ui, "fox").focus()
    ui.page.keyboard.press("Enter")
    expect_state(ui, "fox", "ready")
    expect(button(ui, "fox")).to_be_focused()
    ui.page.keyboard.press("Enter")
    expect_state(ui, "fox", "stopped")
    expect(button(ui, "fox")).to_be_focused()


def test_the_first_stop_of_the_keyboard_leads_past_the_header(ui: Watched) -> None:
    ui.page.keyboard.press("Tab")
    expect(ui.page.locator(".skip-link")).to_be_focused()
    ui.page.keyboard.press("Enter")
    expect(ui.page.locator("#content")).to_be_focused()


def test_a_model_that_cannot_be_loaded_says_why_at_its_button(ui: Watched) -> None:
    button(ui, "alien").click()
    problem = card(ui, "alien").locator('[data-slot="problem"]')
    expect(problem).to_contain_text("does not support the architecture alien")
    expect(problem).to_contain_text("logs/engines/alien.log")
    expect_state(ui, "alien", "stopped")
    expect(button(ui, "alien")).to_contain_text("Load")


def test_a_loading_model_tells_for_how_long_and_can_be_cancelled(ui: Watched) -> None:
    button(ui, "sleeper").click()
    expect_state(ui, "sleeper", "starting")
    expect(button(ui, "sleeper")).to_contain_text("Cancel")
    elapsed = card(ui, "sleeper").locator('[data-slot="elapsed"]')
    expect(elapsed).to_have_text(re.compile(r"^[2-9] s$"))
    ui.page.reload()
    expect(elapsed).to_have_text(re.compile(r"^([3-9]|\d\d) s$"))
    button(ui, "sleeper").click()
    expect_state(ui, "sleeper", "stopped")
    expect(card(ui, "sleeper").locator('[data-slot="problem"]')).to_be_hidden()


def test_a_model_s_page_shows_what_a_longer_context_would_take(ui: Watched) -> None:
    card(ui, "endless").get_by_role("link", name="endless", exact=True).click()
    ui.expect_live()
    plan = ui.page.locator("#what-if")
    expect(plan).to_contain_text("As it is started now.")
    slider = ui.page.get_by_role("slider", name="Context")
    slider.focus()
    slider.press("Home")
    expect(plan).to_contain_text("nothing is saved yet")
    expect(plan).to_contain_text("512 tokens a request")
    slider.press("End")
    expect(plan).to_contain_text("65,536 tokens a request")
    ui.page.get_by_role("tab", name="Python").click()
    expect(ui.page.locator("#snippet-python")).to_contain_text("model='endless'")
    ui.check()


def test_the_memory_bar_moves_while_the_context_is_dragged(ui: Watched) -> None:
    card(ui, "endless").get_by_role("link", name="endless", exact=True).click()
    ui.expect_live()
    ui.page.get_by_text("Why it is set like this").click()
    moved = ui.page.evaluate(
        """() => new Promise((resolve) => {
          const slider = document.getElementById("context-slider");
          const bar = () => document.querySelector("#what-if .memory-bar").outerHTML;
          const before = bar();
          let steps = 0;
          // A hand that never rests.
          const hand = setInterval(() => {
            steps += 1;
            slider.value = steps % 100;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            if (bar() !== before || steps > 2000) {
              clearInterval(hand);
              resolve(bar() !== before);
            }
          }, 30);
        })"""
    )
    assert moved
    expect(ui.page.locator("#what-if #reasons")).to_have_attribute("open", "")


def test_the_dashboard_shows_what_is_loaded_and_what_was_done(
    ui: Watched, server: RunningServer
) -> None:
    ui.open("/ui/dashboard/")
    ui.expect_live()
    body = {"model": "fox", "messages": [{"role": "user", "content": "Go"}]}
    requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    expect(ui.page.locator('#engines [data-model="fox"]')).to_have_attribute("data-state", "ready")
    expect(ui.page.locator("#memory")).to_contain_text("fox")
    expect(ui.page.locator("#requests-day")).not_to_have_text("0")
    expect(ui.page.locator("#day canvas")).to_be_visible()
    ui.check()


def test_models_are_searched_while_one_types(ui: Watched) -> None:
    ui.page.get_by_role("searchbox").press_sequentially("sea")
    expect(card(ui, "fox")).to_have_count(0)
    expect(card(ui, "sea")).to_be_visible()
    expect(ui.page).to_have_url(re.compile(r"q=sea"))
    ui.page.get_by_role("link", name="Table").click()
    expect(ui.page.get_by_role("table")).to_contain_text("sea")
    expect(card(ui, "fox")).to_have_count(0)


def test_a_file_that_cannot_be_served_is_listed_with_its_reason(ui: Watched) -> None:
    unserved = ui.page.get_by_role("region", name="Files that cannot be served")
    expect(unserved).to_contain_text("broken-f32.gguf")
    expect(card(ui, "broken")).to_have_count(0)


@pytest.mark.parametrize(
    "path",
    [MODELS, "/ui/models/1/", "/ui/dashboard/", "/ui/setup/", "/ui/engines/", "/ui/components/"],
)
def test_a_phone_shows_everything_and_its_buttons_can_be_hit(
    browser: Browser, server: RunningServer, path: str
) -> None:
    with watched(browser, server.url, **PHONE, color_scheme="dark") as seen:
        seen.open(path)
        seen.expect_live()
        seen.check_fits()
        seen.check()


def test_the_menu_of_a_phone_opens_and_closes(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url, **PHONE) as seen:
        seen.open("/ui/components/")
        link = seen.page.get_by_role("link", name="Models")
        expect(link).to_be_hidden()
        seen.page.get_by_role("link", name="Menu", exact=True).click()
        expect(link).to_be_visible()
        seen.page.keyboard.press("Escape")
        expect(link).to_be_hidden()
        seen.page.get_by_role("link", name="Menu", exact=True).click()
        link.click()
        expect(seen.page).to_have_url(re.compile(f"{MODELS}$"))
        seen.check_quiet()


def test_chosen_colours_are_remembered_also_by_the_admin(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url, color_scheme="light") as seen:
        seen.open("/ui/components/")
        root = seen.page.locator("html")
        switch = seen.page.locator("[data-theme-switch]")
        expect(switch).to_have_attribute("title", "Colours: as the system has them")
        switch.click()
        switch.click()
        expect(root).to_have_attribute("data-theme", "dark")
        for path in (MODELS, "/admin/"):
            seen.open(path)
            expect(root).to_have_attribute("data-theme", "dark")


def test_what_cannot_be_undone_asks_once(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url) as seen:
        seen.open("/ui/components/")
        remove = seen.page.get_by_role("button", name="Remove")
        remove.click()
        seen.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(seen.page.locator(".toast")).to_have_count(0)
        remove.click()
        seen.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(seen.page.locator(".toast")).to_contain_text("This is what a message looks like.")
        seen.check_quiet()


def test_pages_are_light(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url) as seen:
        seen.open(MODELS)
        seen.expect_live()
        assert seen.weight() < WEIGHT_LIMIT


def test_a_wrong_address_leads_back(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url) as seen:
        seen.open("/ui/nothing/here")
        seen.complaints.clear()  # Chromium reports the 404
        expect(seen.page.get_by_role("heading", level=1)).to_have_text("There is no such page")
        seen.check()
        seen.page.get_by_role("link", name="Back to the start").click()
        expect(seen.page).to_have_url(re.compile("/ui/"))


def test_all_of_it_works_without_javascript(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url, java_script_enabled=False) as seen:
        seen.open(MODELS)
        expect(seen.page.locator("#connection")).to_be_hidden()
        button(seen, "sea").click()
        expect(seen.page).to_have_url(re.compile(r"/ui/models/$"))
        expect_state(seen, "sea", "ready")
        button(seen, "sea").click()
        expect_state(seen, "sea", "stopped")
        button(seen, "alien").click()
        expect(card(seen, "alien")).to_contain_text("does not support the architecture alien")
        seen.open("/ui/setup/")
        seen.page.get_by_role("button", name="Scan now").click()
        expect(seen.page).to_have_url(re.compile(r"/ui/setup/#folders$"))


def test_two_minutes_from_nothing_to_the_first_answer(browser: Browser, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "first-f32.gguf", FOX)
    with running_server() as server, watched(browser, server.url) as seen:
        seen.open("/")
        expect(seen.page.get_by_role("heading", level=1)).to_have_text("Setup")
        seen.expect_live()
        field = seen.page.get_by_label("Folder on the server")
        field.fill(str(tmp_path / "nowhere"))
        seen.page.get_by_role("button", name="Add folder").click()
        expect(seen.page.get_by_role("alert")).to_contain_text("does not exist")
        seen.complaints.clear()  # Chromium reports the form's 422

        field.fill(str(models))
        seen.page.get_by_role("button", name="Add folder").click()
        found = seen.page.locator("#found")
        expect(found).to_contain_text("1 model is ready to be loaded.")
        seen.page.get_by_role("radio", name="Long texts").check()
        seen.page.get_by_role("button", name="Tune my models").click()
        expect(seen.page.get_by_text("models are set up for")).to_be_visible()
        seen.check()
        seen.page.get_by_role("link", name="Chat with it").press("Enter")
        expect(seen.page.locator("#play[data-ready]")).to_be_visible()
        seen.page.locator("#question").press_sequentially("Hello!")
        seen.page.keyboard.press("Enter")
        expect(seen.page.locator(".message > .answer")).to_have_text(FOX)
        seen.check()
        seen.open("/ui/setup/")
        seen.page.get_by_role("link", name="Use it from your programs").click()
        command = seen.page.locator("#snippet-curl").inner_text()
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True
        )
        assert "".join(re.findall(r'"content":"([^"]*)"', done.stdout)) == FOX
        expect(seen.page.locator("#model-head")).to_have_attribute("data-state", "ready")
        seen.check_quiet()


def test_a_lost_connection_is_shown_and_heals(browser: Browser, tmp_path: Path) -> None:
    write_reciter(tmp_path / "fox-f32.gguf", FOX)
    with running_server(tmp_path, home=new_home(tmp_path / "home")) as server:
        server.wait_for_models("fox")
        with watched(browser, server.url) as seen:
            seen.open(MODELS)
            seen.expect_connection("live")
            assert server.stop() == 0
            seen.expect_connection("reconnecting")
            button(seen, "fox").click()
            expect(seen.page.locator(".toast")).to_contain_text("The server gave no answer.")
            with started_again(server):
                seen.expect_connection("live")
                button(seen, "fox").click()
                expect_state(seen, "fox", "ready")


@contextmanager
def started_again(server: RunningServer) -> Iterator[None]:
    """The same server, at the same address, as after a restart."""
    port = server.url.rpartition(":")[2]
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", port],
        cwd=ROOT,
        env=clean_environment(server.home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        wait_until(lambda: process.poll() is not None, "the end of the server")
