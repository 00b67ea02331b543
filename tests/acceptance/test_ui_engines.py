"""The engines page in a real browser: builds of the real llama-server, from a list of releases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Locator, expect

from tests.browser import PHONE, Watched, watched
from tests.ggufs import write_reciter
from tests.llama import binary
from tests.release_server import ReleaseServer, as_tar, running_releases, slim_build
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.in_order]

PAGE = "/ui/engines/"
SENTENCE = "Whichever build it is, this is what it says."


@dataclass
class Shop:
    """The server, and releases that it may be updated from."""

    server: RunningServer
    releases: ReleaseServer
    scratch: Path

    def release(self, tag: str, build: Path) -> None:
        name = f"llama-{tag}-bin-ubuntu-x64.tar.gz"
        self.releases.add(tag, as_tar(build, self.scratch / name, tag))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    program = binary()
    if program is None:
        pytest.skip("no llama-server")
    scratch = tmp_path_factory.mktemp("builds")
    models = tmp_path_factory.mktemp("models")
    write_reciter(models / "fox.gguf", SENTENCE)
    with running_releases() as releases:
        env = {"CLARACORE_RELEASES_URL": releases.url, "CLARACORE_BACKEND": "cpu"}
        with running_server(models, env=env) as server:
            server.wait_for_models("fox")
            shop = Shop(server, releases, scratch)
            shop.release("b90001", slim_build(program.resolve().parent, scratch / "build"))
            yield shop


@pytest.fixture
def ui(browser: Browser, shop: Shop) -> Iterator[Watched]:
    with watched(browser, shop.server.url) as seen:
        seen.open(PAGE)
        seen.expect_live()
        yield seen
        seen.check_quiet()


def build(seen: Watched, tag: str) -> Locator:
    return seen.page.locator(".build").filter(has_text=tag)


def in_use(seen: Watched) -> Locator:
    return seen.page.get_by_role("region", name="In use")


def confirm(seen: Watched) -> None:
    seen.page.locator("#confirm-yes").click()


def expect_used(seen: Watched, tag: str) -> None:
    expect(build(seen, tag).locator(".pill")).to_have_text("In use")
    expect(in_use(seen)).to_contain_text(tag)


def says(shop: Shop) -> str:
    body = {"model": "fox", "messages": [{"role": "user", "content": "?"}]}
    url = f"{shop.server.url}/v1/chat/completions"
    return str(
        requests.post(url, json=body, timeout=120).json()["choices"][0]["message"]["content"]
    )


def test_an_update_is_seen_taken_tried_and_used(ui: Watched, shop: Shop) -> None:
    expect(ui.page.get_by_text("No build of its own")).to_be_visible()
    expect(ui.page.get_by_role("heading", name="b90001 is out")).to_be_visible()
    ui.check()
    ui.page.locator("#update-now").click()
    expect_used(ui, "b90001")
    expect(build(ui, "b90001")).to_contain_text("Trial: Passed: it listed its devices")
    expect(build(ui, "b90001")).to_contain_text("SHA-256 checked")
    expect(ui.page.locator("#update")).to_contain_text("b90001 is the newest release")
    ui.check()
    assert says(shop) == SENTENCE


def test_a_build_that_fails_its_trial_says_why_and_changes_nothing(
    ui: Watched, browser: Browser, shop: Shop
) -> None:
    broken = shop.scratch / "broken"
    broken.mkdir()
    program = broken / "llama-server"
    program.write_text("#!/bin/sh\necho 'cannot find libcudart.so.12' >&2\nexit 127\n")
    program.chmod(0o755)
    shop.release("b90002", broken)
    ui.page.get_by_role("button", name="Look for an update").click()
    expect(ui.page.locator(".toast")).to_contain_text("b90002")
    ui.page.locator("#update-now").click()
    expect(build(ui, "b90002").locator(".pill")).to_have_text("Failed")
    expect(build(ui, "b90002").locator(".notice")).to_contain_text("libcudart.so.12")
    expect_used(ui, "b90001")
    ui.check()
    with watched(browser, ui.origin, color_scheme="dark", **PHONE) as phone:
        phone.open(PAGE)
        phone.expect_live()
        expect(build(phone, "b90002")).to_be_visible()
        phone.check_fits()
        phone.check()
    build(ui, "b90002").get_by_role("button", name="Remove").click()
    confirm(ui)
    expect(build(ui, "b90002")).to_have_count(0)
    shop.releases.releases.pop(0)
    assert says(shop) == SENTENCE


def test_one_goes_back_and_chooses_a_build_again(ui: Watched, browser: Browser, shop: Shop) -> None:
    with watched(browser, ui.origin) as other:
        other.open(PAGE)
        other.expect_live()
        ui.page.locator("#roll-back").click()
        confirm(ui)
        for seen in (ui, other):
            expect(build(seen, "b90001").locator(".pill")).to_have_text("Ready")
            expect(in_use(seen)).not_to_contain_text("b90001")
        expect(ui.page.locator("#roll-back")).to_have_count(0)
        build(other, "b90001").get_by_role("button", name="Use").click()
        for seen in (ui, other):
            expect_used(seen, "b90001")
        other.check_quiet()
    assert says(shop) == SENTENCE


def test_what_lies_on_the_server_is_installed_without_being_used(ui: Watched, shop: Shop) -> None:
    ui.page.get_by_label("a folder with a build").check()
    ui.page.get_by_label("Path").fill(str(shop.scratch / "build"))
    own = ui.page.locator("form.card").filter(has_text="What lies on this server")
    own.get_by_role("button", name="Install").click()
    added = ui.page.locator(".build").filter(has_text="a folder on this server")
    expect(added.locator(".pill")).to_have_text("Ready")
    expect(added).to_contain_text("Trial: Passed")
    expect_used(ui, "b90001")
    added.get_by_text("Devices and place").click()
    expect(added).to_contain_text("CPU")
    ui.check()
