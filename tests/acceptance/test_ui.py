"""The models page in a real browser, on the real server with real engines."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.acceptance.conftest import FOX, write_models
from tests.ggufs import write_gguf, write_reciter
from tests.server import ROOT, RunningServer, clean_environment, running_server, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.engine]

LIMIT_MS = 30_000  # a guard against hanging, far beyond what anything here takes
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 844}
SMALLEST_TARGET = 40  # CSS pixels a finger can hit


def chromium() -> str:
    """Where Debian's browser is."""
    program = shutil.which("chromium")
    assert program, "These tests drive Debian's Chromium: apt-get install chromium"
    return program


@dataclass
class Watched:
    """A page, with everything it complained about and every address it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def card(self, model: str) -> Locator:
        return self.page.locator(f'[data-model="{model}"]')

    def button(self, model: str) -> Locator:
        return self.card(model).locator('[data-slot="act"]')

    def open(self, server: RunningServer, path: str = "/ui/") -> None:
        self.page.goto(server.url + path)

    def expect_connection(self, state: str) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)

    def expect_state(self, model: str, state: str) -> None:
        expect(self.card(model)).to_have_attribute("data-state", state)


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
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, **options: object) -> Iterator[Watched]:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(LIMIT_MS)
    seen = Watched(context.new_page())
    seen.page.on("console", lambda m: seen.complaints.append(m.text) if m.type != "log" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.addresses.append(request.url))
    yield seen
    context.close()


@pytest.fixture
def ui(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    """The page on the shared server, which must leave no complaint and stay on its host."""
    requests.post(f"{server.url}/api/models/unload", timeout=60)
    with watched(browser) as seen:
        seen.open(server)
        yield seen
        assert seen.complaints == []
        assert all(address.startswith(f"{server.url}/") for address in seen.addresses)
    requests.post(f"{server.url}/api/models/unload", timeout=60)


def test_a_model_is_loaded_and_unloaded_and_every_page_sees_it(
    ui: Watched, browser: Browser, server: RunningServer
) -> None:
    with watched(browser) as other:
        other.open(server)
        ui.expect_connection("live")
        other.expect_connection("live")
        expect(ui.button("fox")).to_contain_text("Load")
        ui.button("fox").click()
        for page in (ui, other):
            page.expect_state("fox", "ready")
            expect(page.button("fox")).to_contain_text("Unload")
            expect(page.page.locator("#ready-count")).to_have_text("1")
        expect(ui.page.locator("#announcer")).to_have_text("fox is ready.")
        other.button("fox").click()
        for page in (ui, other):
            page.expect_state("fox", "stopped")
            expect(page.button("fox")).to_contain_text("Load")
        assert other.complaints == []


def test_work_of_other_clients_is_seen(ui: Watched, server: RunningServer) -> None:
    ui.expect_connection("live")
    body = {"model": "endless", "messages": [{"role": "user", "content": "Go"}], "stream": True}
    with requests.post(
        f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=60
    ) as reply:
        next(reply.iter_content(chunk_size=None))
        ui.expect_state("endless", "ready")


def test_who_pressed_a_button_by_keyboard_keeps_the_focus(ui: Watched) -> None:
    ui.expect_connection("live")
    ui.button("fox").focus()
    ui.page.keyboard.press("Enter")
    ui.expect_state("fox", "ready")
    expect(ui.button("fox")).to_be_focused()
    ui.page.keyboard.press("Enter")
    ui.expect_state("fox", "stopped")
    expect(ui.button("fox")).to_be_focused()


def test_the_first_stop_of_the_keyboard_leads_past_the_header(ui: Watched) -> None:
    ui.page.keyboard.press("Tab")
    expect(ui.page.locator(".skip-link")).to_be_focused()
    ui.page.keyboard.press("Enter")
    expect(ui.page.locator("#content")).to_be_focused()


def test_a_model_that_cannot_be_loaded_says_why_at_its_button(ui: Watched) -> None:
    ui.expect_connection("live")
    ui.button("alien").click()
    problem = ui.card("alien").locator('[data-slot="problem"]')
    expect(problem).to_contain_text("does not support the architecture alien")
    expect(problem).to_contain_text("logs/engines/alien.log")
    problem.get_by_text("What the engine said last").click()
    expect(problem.locator("pre")).to_contain_text("unknown model architecture: 'alien'")
    ui.expect_state("alien", "stopped")
    expect(ui.button("alien")).to_contain_text("Load")
    # Chromium itself reports the answer's status; nothing else may have gone wrong.
    assert [text for text in ui.complaints if "status of 502" not in text] == []
    ui.complaints.clear()


def test_a_loading_model_tells_for_how_long_and_can_be_cancelled(ui: Watched) -> None:
    ui.expect_connection("live")
    ui.button("sleeper").click()
    ui.expect_state("sleeper", "starting")
    expect(ui.button("sleeper")).to_contain_text("Cancel")
    elapsed = ui.card("sleeper").locator('[data-slot="elapsed"]')
    expect(elapsed).to_have_text(re.compile(r"^[2-9] s$"))
    ui.page.reload()
    expect(elapsed).to_have_text(re.compile(r"^([3-9]|\d\d) s$"))
    ui.button("sleeper").click()
    ui.expect_state("sleeper", "stopped")
    expect(ui.card("sleeper").locator('[data-slot="problem"]')).to_be_hidden()


def test_a_file_that_cannot_be_served_is_listed_with_its_reason(ui: Watched) -> None:
    unserved = ui.page.get_by_role("region", name="Files that cannot be served")
    expect(unserved).to_contain_text("broken-f32.gguf")
    expect(ui.card("broken")).to_have_count(0)


def test_the_example_follows_the_chosen_model(ui: Watched) -> None:
    ui.card("letters").get_by_role("link", name="Example").click()
    expect(ui.page.locator("#copy-snippet")).to_contain_text("/v1/embeddings")
    expect(ui.page.locator("#copy-snippet")).to_contain_text('"model": "letters"')
    assert ui.page.url.endswith("?model=letters")


def test_the_shown_command_works_as_it_stands(ui: Watched) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    ui.page.goto(ui.page.url + "?model=fox")
    command = ui.page.locator("#copy-snippet").inner_text()
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True
    )
    words = re.findall(r'"content":"([^"]*)"', done.stdout)
    assert "".join(words) == FOX


def test_an_id_is_copied(browser: Browser, server: RunningServer) -> None:
    with watched(browser, permissions=["clipboard-read", "clipboard-write"]) as seen:
        seen.open(server)
        seen.card("fox").get_by_role("button", name="Copy fox").click()
        expect(seen.page.locator("#announcer")).to_have_text("Copied")
        assert seen.page.evaluate("navigator.clipboard.readText()") == "fox"
        assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_and_its_buttons_can_be_hit(
    browser: Browser, server: RunningServer, scheme: str
) -> None:
    with watched(
        browser, viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True
    ) as seen:
        seen.open(server)
        seen.expect_connection("live")
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        for control in seen.page.locator("button:visible, a.button:visible, input:visible").all():
            box = control.bounding_box()
            assert box is not None
            assert min(box["height"], box["width"]) >= SMALLEST_TARGET, control.inner_text()
        assert seen.complaints == []


def test_all_of_it_works_without_javascript(browser: Browser, server: RunningServer) -> None:
    with watched(browser, java_script_enabled=False) as seen:
        seen.open(server)
        expect(seen.page.locator("#connection")).to_be_hidden()
        seen.button("sea").click()
        expect(seen.page).to_have_url(re.compile(r"/ui/#model-\d+$"))
        seen.expect_state("sea", "ready")
        seen.button("sea").click()
        seen.expect_state("sea", "stopped")
        seen.button("alien").click()
        expect(seen.card("alien")).to_contain_text("does not support the architecture alien")
        seen.page.get_by_role("button", name="Scan now").click()
        expect(seen.page).to_have_url(re.compile(r"/ui/#folders$"))


def test_an_empty_server_is_filled_by_naming_a_folder(browser: Browser, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "first-f32.gguf", "Here I am.")
    with running_server() as server, watched(browser) as seen:
        seen.open(server)
        seen.page.get_by_label("Folder on the server").fill(str(tmp_path / "nowhere"))
        seen.page.get_by_role("button", name="Add folder").click()
        expect(seen.page.get_by_role("alert")).to_contain_text("does not exist")
        seen.complaints.clear()  # Chromium reports the form's 422

        seen.page.get_by_label("Folder on the server").fill(str(models))
        seen.page.get_by_role("button", name="Add folder").click()
        seen.expect_state("first", "stopped")
        seen.button("first").click()
        seen.expect_state("first", "ready")

        write_reciter(models / "second-f32.gguf", "So am I.")
        seen.page.get_by_role("button", name="Scan now").click()
        seen.expect_state("second", "stopped")
        seen.expect_state("first", "ready")
        assert seen.complaints == []


def test_a_lost_connection_is_shown_and_heals(browser: Browser, tmp_path: Path) -> None:
    write_reciter(tmp_path / "fox-f32.gguf", FOX)
    with running_server(tmp_path, home=tmp_path / "home") as server:
        server.wait_for_models("fox")
        with watched(browser) as seen:
            seen.open(server)
            seen.expect_connection("live")
            assert server.stop() == 0
            seen.expect_connection("reconnecting")
            seen.button("fox").click()
            expect(seen.card("fox")).to_contain_text("The server gave no answer.")
            with started_again(server):
                seen.expect_connection("live")
                seen.button("fox").click()
                seen.expect_state("fox", "ready")


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
