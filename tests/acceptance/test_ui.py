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
from tests.browser import PHONE, WEIGHT_LIMIT, Watched, running_browser, watched
from tests.ggufs import write_gguf, write_reciter
from tests.server import ROOT, RunningServer, clean_environment, running_server, wait_until

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


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


def test_a_file_that_cannot_be_served_is_listed_with_its_reason(ui: Watched) -> None:
    unserved = ui.page.get_by_role("region", name="Files that cannot be served")
    expect(unserved).to_contain_text("broken-f32.gguf")
    expect(card(ui, "broken")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [MODELS, "/ui/components/"])
def test_a_phone_shows_everything_and_its_buttons_can_be_hit(
    browser: Browser, server: RunningServer, path: str, scheme: str
) -> None:
    with watched(browser, server.url, **PHONE, color_scheme=scheme) as seen:
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
        expect(seen.page).to_have_url(re.compile(r"/ui/models/#model-\d+$"))
        expect_state(seen, "sea", "ready")
        button(seen, "sea").click()
        expect_state(seen, "sea", "stopped")
        button(seen, "alien").click()
        expect(card(seen, "alien")).to_contain_text("does not support the architecture alien")
        seen.page.get_by_role("button", name="Scan now").click()
        expect(seen.page).to_have_url(re.compile(r"/ui/models/#folders$"))


def test_an_empty_server_is_filled_by_naming_a_folder(browser: Browser, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "first-f32.gguf", "Here I am.")
    with running_server() as server, watched(browser, server.url) as seen:
        seen.open(MODELS)
        seen.page.get_by_label("Folder on the server").fill(str(tmp_path / "nowhere"))
        seen.page.get_by_role("button", name="Add folder").click()
        expect(seen.page.get_by_role("alert")).to_contain_text("does not exist")
        seen.complaints.clear()  # Chromium reports the form's 422

        seen.page.get_by_label("Folder on the server").fill(str(models))
        seen.page.get_by_role("button", name="Add folder").click()
        expect_state(seen, "first", "stopped")
        button(seen, "first").click()
        expect_state(seen, "first", "ready")

        write_reciter(models / "second-f32.gguf", "So am I.")
        seen.page.get_by_role("button", name="Scan now").click()
        expect_state(seen, "second", "stopped")
        expect_state(seen, "first", "ready")
        assert seen.complaints == []


def test_a_lost_connection_is_shown_and_heals(browser: Browser, tmp_path: Path) -> None:
    write_reciter(tmp_path / "fox-f32.gguf", FOX)
    with running_server(tmp_path, home=tmp_path / "home") as server:
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
