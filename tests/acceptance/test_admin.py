"""The admin in a real browser: nothing it does breaks the policy, and it fits a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import FOX, write_models
from tests.browser import LIMIT_MS, PHONE
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

BAD = ("error", "warning")  # what a policy forbids is an error
MODELS = "/admin/models_app/servedmodel/"


@dataclass
class Watched:
    """A page, with everything the browser complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> int:
        reply = self.page.goto(self.url + path)
        assert reply is not None
        return reply.status

    def choose(self, model: str, action: str) -> None:
        """Do an action of the list on one model."""
        self.open(f"{MODELS}?q={model}")
        self.page.locator(".action-select").first.check()
        self.page.locator('select[name="action"]').select_option(action)
        self.page.get_by_role("button", name="Go").click()

    def addresses(self) -> set[str]:
        """Paths of the admin that the page links to; signing out and sorting left out."""
        links = self.page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
        found = {urlsplit(link).path for link in links if link.startswith(f"{self.url}/admin/")}
        return {path for path in found if not path.endswith(("/logout/", "/export/"))}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = write_models(tmp_path_factory.mktemp("admin"))
    with running_server(folder) as running:
        running.wait_for_models("fox", "sea", "endless", "letters")
        body = {"model": "fox", "messages": [{"role": "user", "content": "Go"}]}
        reply = requests.post(f"{running.url}/v1/chat/completions", json=body, timeout=60)
        assert FOX in reply.text
        yield running


@contextmanager
def watched(browser: Browser, server: RunningServer, **options: object) -> Iterator[Watched]:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(LIMIT_MS)
    seen = Watched(context.new_page(), server.url)

    def watch(page: Page) -> None:
        page.on("console", lambda m: seen.complaints.append(m.text) if m.type in BAD else None)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))

    watch(seen.page)
    context.on("page", watch)
    try:
        yield seen
        assert seen.complaints == []
    finally:
        context.close()


def every_page(seen: Watched) -> dict[str, bool]:
    """All pages of the admin that can be reached by links, one of each kind: is it too wide?"""
    waiting, done, kinds = ["/admin/"], {}, set()
    while waiting:
        path = waiting.pop()
        kind = re.sub(r"/\d+/", "/N/", path)
        if kind in kinds:
            continue
        kinds.add(kind)
        assert seen.open(path) == 200, path
        done[path] = is_wide(seen)
        waiting += sorted(seen.addresses())
    return done


def is_wide(seen: Watched) -> bool:
    """Whether the page has to be moved sideways."""
    return bool(seen.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_no_page_breaks_the_policy_or_the_width_of_a_phone(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server, **PHONE, color_scheme="dark") as seen:
        assert [path for path, wide in every_page(seen).items() if wide] == []
    with watched(browser, server) as seen:
        pages = every_page(seen)
        assert len(pages) > 30, pages
        for part in ("duplicates/", "vanished/", "config/", "/add/", "/history/", "/delete/"):
            assert any(part in path for path in pages), part


def test_the_parts_that_need_scripts_work_under_the_policy(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server) as seen:
        page = seen.page
        seen.open(f"{MODELS}?q=sea")
        page.locator("#result_list tbody th a").click()
        page.locator("#select2-id_file-container").click()
        page.locator(".select2-search__field").fill("numbers")
        expect(page.locator(".select2-results")).to_contain_text("numbers-f32.gguf")
        page.keyboard.press("Escape")
        page.get_by_text("Add another Id").click()
        expect(page.locator(".dynamic-aliases")).to_have_count(2)
        page.get_by_text("A command of its own").click()
        expect(page.locator("#id_cmd")).to_be_visible()

        seen.open("/admin/models_app/modelgroup/add/")
        page.locator("#id_members_from").select_option(label="fox")
        page.locator("#id_members_add").click()
        expect(page.locator("#id_members_to")).to_contain_text("fox")

        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator(".theme-toggle").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_model_is_loaded_and_unloaded_in_the_list(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server) as seen:
        badge = seen.page.locator('[data-live="sea"]')
        seen.choose("sea", "load")
        expect(seen.page.locator(".messagelist")).to_contain_text("Loading sea.")
        expect(badge).to_have_text("Ready")

        seen.choose("sea", "unload")
        expect(seen.page.locator(".messagelist")).to_contain_text("Unloading sea.")
        expect(badge).to_have_text("Stopped")


def test_the_list_tells_when_a_model_was_last_used(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server) as seen:
        seen.open(f"{MODELS}?q=fox")
        expect(seen.page.locator(".field-last_use")).to_have_text(re.compile("just now|minute"))


def test_a_scan_is_watched_to_its_end(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server) as seen:
        seen.open("/admin/models_app/modelfolder/")
        seen.page.locator(".action-select").first.check()
        seen.page.locator('select[name="action"]').select_option("scan_now")
        seen.page.get_by_role("button", name="Go").click()
        seen.page.locator(".messagelist a").click()
        expect(seen.page.locator(".field-status")).to_contain_text("completed")


def test_a_configuration_is_taken_in_after_a_look(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server) as seen:
        seen.open("/admin/models_app/revision/config/")
        text = b"models:\n  sleeper:\n    cmd: sleep 600 ${PORT}\n"
        file = {"name": "config.yaml", "mimeType": "text/yaml", "buffer": text}
        seen.page.locator('input[type="file"]').set_input_files(file)  # type: ignore[arg-type]
        seen.page.get_by_role("button", name="See what it would change").click()
        expect(seen.page.locator(".difference")).to_contain_text("sleeper")
        seen.page.get_by_role("button", name="Import it").click()
        expect(seen.page.locator(".messagelist")).to_contain_text("1 created")
        server.wait_for_models("sleeper")
