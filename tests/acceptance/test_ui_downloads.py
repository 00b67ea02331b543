"""The pages of downloads in a real browser, against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import PHONE, Watched, running_browser, watched
from tests.ggufs import write_reciter
from tests.hub import Hub, running_hub
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.in_order]

PAGE = "/ui/downloads/"
FOX = "owner/fox-GGUF"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    path = tmp_path_factory.mktemp("hub") / "fox.gguf"
    reciter = write_reciter(path, "Fetched with a click.").read_bytes()
    with running_hub() as hub:
        hub.add(FOX, {"fox-Q4_K_M.gguf": reciter + bytes(32), "fox-Q8_0.gguf": reciter})
        yield hub


@pytest.fixture(scope="module")
def server(hub: Hub) -> Iterator[RunningServer]:
    env = {"CLARACORE_HF_ENDPOINT": hub.url, "CLARACORE_PRIVATE_HOSTS": "127.0.0.1"}
    with running_server(env=env) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def ui(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    with watched(browser, server.url) as seen:
        yield seen
        seen.check_quiet()


def row(seen: Watched, repository: str) -> Locator:
    return seen.page.locator("[data-download]").filter(has_text=repository)


def test_a_model_is_found_fetched_and_offered_to_be_tried(ui: Watched) -> None:
    ui.open(PAGE)
    expect(ui.page.get_by_text("Nothing fetched yet")).to_be_visible()
    expect(ui.page.locator(".suggestion")).to_have_count(3)
    ui.check()
    ui.page.get_by_role("searchbox").fill("fox")
    ui.page.get_by_role("button", name="Search the hub").click()
    result = ui.page.locator(".result").filter(has_text="fox-GGUF")
    expect(result.get_by_text("fits", exact=True)).to_be_visible()
    ui.check()
    result.get_by_role("link").click()
    expect(ui.page.get_by_role("radio", name="Q4_K_M")).to_be_checked()
    ui.check()
    ui.page.get_by_role("button", name="Download", exact=True).click()
    expect(row(ui, FOX)).to_have_attribute("data-status", "completed")
    expect(row(ui, FOX).get_by_role("link", name="Try")).to_be_visible()
    ui.check()


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}search/?q=GGUF", f"{PAGE}hub/{FOX}/"])
def test_the_pages_fit_a_phone_in_the_dark(
    browser: Browser, server: RunningServer, path: str
) -> None:
    with watched(browser, server.url, color_scheme="dark", **PHONE) as seen:
        seen.open(path)
        seen.expect_live()
        seen.check_fits()
        seen.check()
