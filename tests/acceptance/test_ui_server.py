"""Configuration, keys and people in a real browser, on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, WEIGHT_LIMIT, Watched, watched
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.in_order]

PASSWORD = "correct horse 9"
COMMAND = "sleep 600 ${PORT}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one model that is never loaded, and nobody who has an account."""
    folder = tmp_path_factory.mktemp("configured")
    config: Path = folder / "config.yaml"
    config.write_text(f"models:\n  fox:\n    cmd: {COMMAND}\n")
    with running_server(folder, arguments=["--config", str(config)]) as running:
        running.wait_for_models("fox")
        yield running


@pytest.fixture
def seen(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    with watched(browser, server.url) as watched_page:
        yield watched_page
        watched_page.check_quiet()


def test_a_setting_is_looked_at_saved_and_seen_in_another_browser(
    seen: Watched, browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url, color_scheme="dark") as other:
        other.open("/ui/configuration/")
        other.expect_live()
        seen.open("/ui/configuration/")
        seen.expect_live()
        seen.page.get_by_label("Longest wait", exact=True).fill("33")
        outlook = seen.page.locator("#outlook")
        expect(outlook).to_contain_text("Longest wait 20 becomes 33")
        expect(outlook).to_contain_text("No model is touched.")
        seen.check()
        seen.page.locator("#save-settings").click()
        expect(outlook).to_contain_text("Nothing is changed.")
        expect(other.page.get_by_label("Longest wait", exact=True)).to_have_value("33")
        other.check()
        assert seen.weight() < WEIGHT_LIMIT


def test_what_is_typed_stays_when_somebody_else_saves(seen: Watched, server: RunningServer) -> None:
    seen.open("/ui/configuration/")
    seen.expect_live()
    seen.page.get_by_label("Queue length").fill("77")
    expect(seen.page.locator("#save-settings")).to_be_visible()
    told = requests.post(f"{server.url}/api/settings/system", json={"minContext": 2048}, timeout=60)
    assert told.ok
    seen.page.locator("#save-settings").click()
    expect(seen.page.locator("#outlook")).to_contain_text("Nothing is changed.")
    expect(seen.page.get_by_label("Queue length")).to_have_value("77")
    expect(seen.page.get_by_label("Least context")).to_have_value("2048")


def test_config_yaml_is_checked_while_it_is_written_and_gone_back_from(seen: Watched) -> None:
    seen.open("/ui/configuration/text/")
    seen.expect_live()
    editor = seen.page.locator("#id_text")
    text = editor.input_value()
    editor.fill(text.replace("fox:\n", "fox:\n    ttl: soon\n"))
    line = text.splitlines().index("  fox:") + 2
    expect(seen.page.locator("#verdict")).to_contain_text(f"Line {line}:")
    expect(seen.page.locator("#bad-line")).to_have_text(str(line))
    seen.check()
    editor.fill(text.replace("sleep 600", "sleep 900"))
    expect(seen.page.locator("#verdict")).to_contain_text("It can be read.")
    seen.page.locator("#look").click()
    expect(seen.page.locator("#outlook .added").first).to_contain_text("sleep 900")
    expect(seen.page.locator("#outlook")).to_contain_text("1 model starts otherwise next time.")
    seen.page.locator("#save-text").click()
    expect(editor).to_have_value(text.replace("sleep 600", "sleep 900"))
    seen.page.get_by_role("link", name="History").click()
    seen.expect_live()
    rows = seen.page.locator("#history .row")
    expect(rows.first).to_contain_text("started with another command: fox")
    rows.nth(1).get_by_role("link").click()
    seen.page.locator("#look").click()
    seen.page.locator("#back").click()
    seen.page.locator("#confirm-yes").click()
    expect(seen.page.locator(".toast")).to_contain_text("Gone back.")
    seen.check()


def test_a_key_expires_at_the_time_its_reader_s_clock_has(
    browser: Browser, server: RunningServer
) -> None:
    with watched(browser, server.url, timezone_id="Asia/Kolkata") as seen:
        seen.open("/ui/keys/")
        seen.page.get_by_label("Name", exact=True).fill("until tea")
        seen.page.get_by_label("Expires").fill("2090-01-02T05:15")
        seen.page.locator("#make-key").click()
        row = seen.page.locator("#keys tr", has_text="until tea")
        expect(row).to_contain_text("until Jan 2, 2090")
        keys = requests.get(f"{server.url}/api/keys", timeout=60).json()["keys"]
        [made] = [key for key in keys if key["name"] == "until tea"]
        assert made["expiresAt"].startswith("2090-01-01T23:45")
        row.get_by_role("link", name="until tea").click()
        seen.expect_live()
        expect(seen.page.get_by_label("Expires")).to_have_value("2090-01-02T05:15")
        seen.page.get_by_label("Name", exact=True).fill("until dinner")
        seen.page.get_by_role("button", name="Save").click()
        expect(seen.page.locator("#key-facts")).to_contain_text("Jan 2, 2090, 05:15")
        seen.check()


def test_the_pages_fit_a_phone(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url, **PHONE) as seen:
        for path in ("configuration/", "configuration/text/", "keys/", "keys/people/"):
            seen.open(f"/ui/{path}")
            seen.expect_live()
            seen.check_fits()
            seen.check()


def test_the_pages_behind_them_fit_a_phone_in_the_dark(
    browser: Browser, server: RunningServer
) -> None:
    made = requests.post(f"{server.url}/api/keys", json={"name": "behind"}, timeout=60)
    assert made.ok, made.text
    key = f"keys/{made.json()['id']}/"
    history = "configuration/history/"
    with watched(browser, server.url, color_scheme="dark", **PHONE) as seen:
        for path in (key, "keys/usage/", history, f"{history}1/", "setup/browse/"):
            seen.open(f"/ui/{path}")
            seen.expect_live()
            seen.check_fits()
            seen.check()


def test_it_all_works_without_javascript(browser: Browser, server: RunningServer) -> None:
    with watched(browser, server.url, java_script_enabled=False) as seen:
        page = seen.page
        seen.open("/ui/configuration/")
        page.get_by_label("Shortest stay").fill("4")
        page.get_by_role("button", name="See what changes").last.click()
        expect(page.locator("#outlook")).to_contain_text("Shortest stay 0 becomes 4")
        page.locator("#save-settings").click()
        expect(page.locator(".messages")).to_contain_text("Saved.")
        expect(page.get_by_label("Shortest stay")).to_have_value("4")
        seen.open("/ui/configuration/text/")
        page.locator("#id_text").fill("models: [")
        page.locator("#look").click()
        expect(page.locator("#verdict")).to_contain_text("Line 2:")
        expect(page.locator("#bad-line")).to_have_text("1")
        seen.open("/ui/keys/")
        page.get_by_label("Name", exact=True).fill("cron")
        page.locator("#make-key").click()
        expect(page.locator("#made-key")).to_contain_text("sk-")


def sign_in(seen: Watched, name: str) -> None:
    seen.open("/ui/sign-in/")
    seen.page.get_by_label("Name").fill(name)
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.get_by_role("button").first.click()
    seen.expect_live()


def test_keys_and_people_of_each_role(browser: Browser, server: RunningServer) -> None:
    """Last: once somebody has an account, everybody has to sign in."""
    for name, role in (("ulla", "user"), ("cleo", "curator"), ("root", "administrator")):
        body = {"name": name, "role": role, "password": PASSWORD}
        # The administrator comes last: from then on, sitting at the machine is not enough.
        made = requests.post(f"{server.url}/api/people", json=body, timeout=60)
        assert made.ok, made.text
    with (
        watched(browser, server.url) as root,
        watched(browser, server.url) as ulla,
        watched(browser, server.url, color_scheme="dark") as cleo,
    ):
        for seen, name in ((root, "root"), (ulla, "ulla"), (cleo, "cleo")):
            sign_in(seen, name)
            seen.open("/ui/keys/")
            seen.expect_live()
        expect(ulla.page.get_by_role("link", name="People", exact=True)).to_have_count(0)
        ulla.page.get_by_label("Name", exact=True).fill("notebook")
        ulla.page.locator("#make-key").click()
        key = ulla.page.locator("#made-key").inner_text()
        models = f"{server.url}/v1/models"
        headers = {"Authorization": f"Bearer {key}"}
        assert requests.get(models, headers=headers, timeout=60).ok
        row = root.page.locator("#keys tr", has_text="notebook")
        expect(row).to_contain_text("ulla")
        expect(cleo.page.locator("#keys")).to_contain_text("No keys yet")
        ulla.check()
        row.get_by_role("button", name="Revoke").click()
        root.page.locator("#confirm-yes").click()
        expect(ulla.page.locator("#keys")).to_contain_text("Revoked")
        root.check()
        assert requests.get(models, headers=headers, timeout=60).status_code == 401
        cleo.open("/ui/configuration/")
        expect(cleo.page.locator("main")).to_contain_text("An administrator decides about these.")
        expect(cleo.page.get_by_label("Queue length")).to_be_disabled()
        cleo.check()
        root.open("/ui/keys/people/")
        root.page.get_by_role("link", name="cleo").click()
        root.page.locator("#keep-out").click()
        root.page.locator("#confirm-yes").click()
        expect(root.page.locator("#account")).to_contain_text("Kept out")
        root.check()
        cleo.open("/ui/")
        expect(cleo.page.get_by_label("Password")).to_be_visible()
