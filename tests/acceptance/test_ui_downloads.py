"""The pages of downloads in a real browser, against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import PHONE, Watched, watched
from tests.ggufs import write_reciter
from tests.hub import Fault, Hub, running_hub
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.in_order]

PAGE = "/ui/downloads/"
FOX = "owner/fox-GGUF"
SLOW = ("owner/slow-one-GGUF", "owner/slow-two-GGUF", "owner/slow-three-GGUF")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    path = tmp_path_factory.mktemp("hub") / "fox.gguf"
    reciter = write_reciter(path, "Fetched with a click.").read_bytes()
    with running_hub() as hub:
        hub.add(FOX, {"fox-Q4_K_M.gguf": reciter + bytes(32), "fox-Q8_0.gguf": reciter})
        for number, name in enumerate(SLOW, start=2):
            hub.add(name, {f"slow-{number}-Q8_0.gguf": reciter + bytes(32 * number)})
        yield hub


@pytest.fixture(scope="module")
def server(hub: Hub) -> Iterator[RunningServer]:
    env = {"CLARACORE_HF_ENDPOINT": hub.url, "CLARACORE_PRIVATE_HOSTS": "127.0.0.1"}
    with running_server(env=env) as running:
        yield running


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


def fetch(seen: Watched, repository: str) -> None:
    """Take what is recommended of a repository; then the list of downloads is shown."""
    seen.open(f"{PAGE}hub/{repository}/")
    seen.page.get_by_role("button", name="Download", exact=True).click()
    expect(row(seen, repository)).to_be_visible()


def waiting(seen: Watched) -> Locator:
    """The names of those that wait, in their order."""
    return seen.page.locator('[data-status="pending"] .download-name strong')


def test_two_browsers_see_what_each_does_with_downloads(
    ui: Watched, browser: Browser, hub: Hub, server: RunningServer
) -> None:
    stall = Fault("stall", -1, 4)
    hub.faults.append(stall)
    ui.open(PAGE)
    ui.page.get_by_text("Limits", exact=True).click()
    ui.page.get_by_label("At once").fill("1")
    ui.page.get_by_role("button", name="Save").click()
    expect(ui.page.locator(".toast")).to_contain_text("The limits count from now on.")
    with watched(browser, server.url) as other:
        other.open(PAGE)
        other.expect_live()
        for name in SLOW:
            fetch(ui, name)
        ui.expect_live()
        expect(row(other, SLOW[0])).to_have_attribute("data-status", "downloading")
        expect(waiting(other)).to_have_text([SLOW[1], SLOW[2]])
        other.page.get_by_role("button", name=f"Fetch {SLOW[2]} sooner").click()
        expect(waiting(ui)).to_have_text([SLOW[2], SLOW[1]])
        row(ui, SLOW[0]).get_by_role("button", name="Pause").click()
        expect(row(other, SLOW[0])).to_have_attribute("data-status", "paused")
        hub.faults.remove(stall)
        for name in SLOW:
            row(other, name).get_by_role("button", name="Cancel").click()
            other.page.locator("#confirm-yes").click()
            expect(row(ui, name)).to_have_attribute("data-status", "cancelled")
        ui.page.get_by_role("button", name=f"Take {SLOW[0]} off the list").click()
        expect(row(other, SLOW[0])).to_have_count(0)
        other.page.get_by_role("button", name="Clear this list").click()
        expect(ui.page.get_by_text("Nothing fetched yet")).to_be_visible()
        other.check_quiet()


def test_it_all_works_without_javascript(browser: Browser, hub: Hub, server: RunningServer) -> None:
    with watched(browser, server.url, java_script_enabled=False) as seen:
        seen.open(PAGE)
        seen.page.get_by_role("searchbox").fill("slow")
        seen.page.get_by_role("button", name="Search the hub").click()
        seen.page.locator(".result", has_text=SLOW[0]).get_by_role("link").click()
        hub.faults.append(Fault("stall", -1, 4))
        seen.page.get_by_role("button", name="Download", exact=True).click()
        expect(row(seen, SLOW[0])).to_have_attribute("data-status", "downloading")
        row(seen, SLOW[0]).get_by_role("button", name="Pause").click()
        expect(row(seen, SLOW[0])).to_have_attribute("data-status", "paused")
        hub.faults.clear()
        row(seen, SLOW[0]).get_by_role("button", name="Go on").click()
        expect(row(seen, SLOW[0])).to_have_attribute("data-status", "completed")
        seen.open(f"{PAGE}hub/{SLOW[1]}/")
        hub.faults.append(Fault("stall", -1, 4))
        seen.page.get_by_role("button", name="Download", exact=True).click()
        row(seen, SLOW[1]).get_by_role("button", name="Cancel").click()
        expect(row(seen, SLOW[1])).to_have_attribute("data-status", "cancelled")
        hub.faults.clear()
