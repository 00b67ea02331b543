"""The list of models in a real browser: found, sorted, pinned, tried and unloaded."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Locator, Route, expect

from tests.browser import PHONE, Watched, watched
from tests.ggufs import write_embedder, write_reciter, write_reranker
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

MODELS = "/ui/models/"
NAMES = ["ant", "bee", "judge", "letters", "whale"]
BY_CONTEXT = ["whale", "bee", "ant"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("list")
    write_reciter(folder / "ant-f32.gguf", "Small.", context_length=1024)
    write_reciter(folder / "bee-f32.gguf", "Middling, as bees are.", context_length=2048)
    write_reciter(folder / "whale-f32.gguf", "Large, as whales are.", context_length=8192)
    write_embedder(folder / "letters-f32.gguf")
    write_reranker(folder / "judge-f32.gguf")
    with running_server(folder) as running:
        running.wait_for_models(*NAMES)
        yield running


@pytest.fixture
def ui(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    """The list, with nothing loaded and nothing pinned before and after."""
    with watched(browser, server.url) as seen:
        seen.open(MODELS)
        seen.expect_live()
        yield seen
        seen.check_quiet()
    requests.post(f"{server.url}/api/models/unload", timeout=60)


def names(seen: Watched) -> Locator:
    return seen.page.locator("#region-models a.model-name, #region-models .model-name a")


def shown(seen: Watched, model: str) -> Locator:
    return seen.page.locator(f'[data-model="{model}"]')


def choose(seen: Watched, label: str, option: str) -> None:
    seen.page.get_by_label(label, exact=True).select_option(option)


def test_the_list_is_narrowed_by_kind_and_state_and_says_when_nothing_is_left(ui: Watched) -> None:
    expect(names(ui)).to_have_text(NAMES)
    choose(ui, "Kind", "embedding")
    expect(names(ui)).to_have_text(["letters"])
    choose(ui, "State", "loaded")
    expect(ui.page.get_by_role("heading", name="No model is like that")).to_be_visible()
    ui.check()
    ui.page.get_by_role("link", name="Show all models").click()
    expect(names(ui)).to_have_text(NAMES)


def test_the_list_is_sorted_and_shown_as_a_table_that_keeps_what_was_chosen(ui: Watched) -> None:
    choose(ui, "Kind", "chat")
    choose(ui, "Sort by", "context")
    expect(names(ui)).to_have_text(BY_CONTEXT)
    ui.page.get_by_role("link", name="Table", exact=True).click()
    expect(ui.page.get_by_role("columnheader", name="Context")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(names(ui)).to_have_text(BY_CONTEXT)
    ui.check()
    ui.page.get_by_role("columnheader", name="Name").get_by_role("link").click()
    expect(names(ui)).to_have_text(sorted(BY_CONTEXT))
    ui.page.get_by_role("link", name="Cards", exact=True).click()
    expect(ui.page.locator("li.card.model")).to_have_count(len(BY_CONTEXT))


def test_a_pinned_model_is_kept_and_found_in_every_browser(ui: Watched, browser: Browser) -> None:
    with watched(browser, ui.origin) as other:
        choose(ui, "Kind", "chat")
        expect(names(ui)).to_have_text(sorted(BY_CONTEXT))
        other.open(f"{MODELS}?state=pinned")
        other.expect_live()
        pin = ui.page.get_by_role("button", name="Keep bee loaded")
        expect(pin).to_have_attribute("aria-pressed", "false")
        pin.click()
        expect(pin).to_have_attribute("aria-pressed", "true")
        expect(names(other)).to_have_text(["bee"])
        expect(names(ui)).to_have_text(sorted(BY_CONTEXT))
        ui.check()
        other.page.get_by_role("button", name="Keep bee loaded").click()
        expect(pin).to_have_attribute("aria-pressed", "false")
        expect(other.page.get_by_role("heading", name="No model is like that")).to_be_visible()
        other.check_quiet()


def test_what_was_asked_for_before_a_filter_was_chosen_does_not_take_its_place(
    ui: Watched, browser: Browser
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "x-refresh" in route.request.headers and not held:
            held.append(route)
        else:
            route.fallback()

    ui.page.route("**/ui/models/**", hold)
    with watched(browser, ui.origin) as other:
        other.open(MODELS)
        with ui.page.expect_request(lambda request: "x-refresh" in request.headers):
            other.page.get_by_role("button", name="Keep bee loaded").click()
        choose(ui, "Kind", "embedding")
        expect(names(ui)).to_have_text(["letters"])
        with ui.page.expect_response(re.compile("kind=embedding")):
            held[0].fallback()
        expect(names(ui)).to_have_text(["letters"])
        other.page.get_by_role("button", name="Keep bee loaded").click()
        expect(other.page.get_by_role("button", name="Keep bee loaded")).to_have_attribute(
            "aria-pressed", "false"
        )


def test_a_model_is_tried_from_its_card_and_unloaded_from_the_dashboard(ui: Watched) -> None:
    shown(ui, "ant").get_by_role("link", name="Try").click()
    expect(ui.page).to_have_url(re.compile(r"/ui/playground/\?model=ant$"))
    expect(ui.page.locator("#play[data-ready]")).to_be_visible()
    ui.page.locator("#question").fill("Hello")
    ui.page.locator("#question").press("Enter")
    expect(ui.page.locator(".message > .answer")).to_have_text("Small.")
    ui.open("/ui/dashboard/")
    ui.expect_live()
    row = ui.page.locator('#engines [data-model="ant"]')
    expect(row).to_have_attribute("data-state", "ready")
    row.get_by_role("button", name="Unload").click()
    expect(row).to_have_count(0)
    expect(ui.page.locator("#engines")).to_contain_text("No model is loaded.")


def test_all_that_is_loaded_is_unloaded_after_being_asked_once(ui: Watched) -> None:
    ui.page.get_by_role("button", name="Load ant").click()
    expect(shown(ui, "ant")).to_have_attribute("data-state", "ready")
    expect(ui.page.locator("#models-count")).to_contain_text("1 loaded")
    every = ui.page.get_by_role("button", name="Unload all")
    every.click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(shown(ui, "ant")).to_have_attribute("data-state", "ready")
    every.click()
    ui.page.locator("#confirm-yes").click()
    expect(shown(ui, "ant")).to_have_attribute("data-state", "stopped")
    expect(every).to_have_count(0)


def test_the_table_folds_on_a_phone_in_the_dark(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url, color_scheme="dark", **PHONE) as phone:
        phone.open(f"{MODELS}?view=table")
        phone.expect_live()
        expect(names(phone)).to_have_text(NAMES)
        phone.check_fits()
        phone.check()
