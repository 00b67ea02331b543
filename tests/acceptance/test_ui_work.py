"""Activity, Queue and Logs in a real browser, on the real server with real engines."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, WEIGHT_LIMIT, Watched, watched
from tests.ggufs import write_reciter
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.in_order]

FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("work")
    write_reciter(folder / "fox-f32.gguf", FOX)
    write_reciter(folder / "endless-f32.gguf", FOX, endless=True, context_length=65536)
    with running_server(folder) as running:
        running.wait_for_models("fox", "endless")
        one_at_a_time = requests.post(
            f"{running.url}/api/config/model/endless", json={"concurrencyLimit": 1}, timeout=60
        )
        assert one_at_a_time.ok, one_at_a_time.text
        ask(running, "fox")
        yield running


@pytest.fixture
def seen(browser: Browser, server: RunningServer) -> Iterator[Watched]:
    with watched(browser, server.url) as watched_page:
        yield watched_page
        watched_page.check_quiet()


def ask(server: RunningServer, model: str) -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Go"}]}
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)


@contextmanager
def answering(server: RunningServer, model: str) -> Iterator[Iterator[bytes]]:
    """An answer that does not end by itself, for the time of the block; gives what comes of it."""
    body = {"model": model, "messages": [{"role": "user", "content": "Go"}], "stream": True}
    with requests.post(
        f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=120
    ) as reply:
        pieces = reply.iter_content(chunk_size=None)  # Let go of, it would hang up.
        next(pieces)
        yield pieces


def test_activity_shows_requests_as_they_end_with_where_their_time_went(
    seen: Watched, server: RunningServer
) -> None:
    seen.open("/ui/activity/?model=fox")
    seen.expect_live()
    rows = seen.page.locator(".requests tbody tr")
    before = rows.count()
    assert ask(server, "fox").ok
    expect(rows).to_have_count(before + 1)
    expect(rows.first.locator(".time-bar rect[data-phase=generation]")).to_have_count(1)
    expect(seen.page.locator("#chart-tokens canvas")).to_be_visible()
    rows.first.locator("a").click()
    drawer = seen.page.locator("#drawer")
    expect(drawer).to_contain_text("first token after")
    expect(drawer).to_contain_text("/v1/chat/completions")
    seen.check()
    drawer.get_by_role("button", name="Close").click()
    seen.check()
    assert seen.weight() < WEIGHT_LIMIT


def test_activity_tells_and_takes_times_as_the_readers_clock_has_them(
    browser: Browser, server: RunningServer
) -> None:
    assert ask(server, "fox").ok
    with watched(browser, server.url, timezone_id="Asia/Kolkata") as seen:
        seen.open("/ui/activity/?period=all&since=2020-01-01T00:00")
        when = seen.page.locator(".requests time").first
        utc = datetime.fromisoformat(when.get_attribute("datetime") or "")
        expect(when).to_contain_text((utc + timedelta(hours=5, minutes=30)).strftime("%H:%M:%S"))
        expect(seen.page.get_by_label("From")).to_have_value("2020-01-01T05:30")
        seen.page.get_by_label("From").fill("2020-01-02T05:30")
        seen.page.get_by_role("button", name="Show").click()
        expect(seen.page.get_by_label("From")).to_have_value("2020-01-02T05:30")
        assert "since=2020-01-02T00%3A00" in seen.page.url
        seen.check()


def test_activity_is_narrowed_and_taken_along_as_a_spreadsheet(
    seen: Watched, server: RunningServer
) -> None:
    assert ask(server, "no-such-model").status_code == 404
    seen.open("/ui/activity/")
    seen.page.get_by_label("Ending").select_option("failed")
    expect(seen.page.get_by_role("heading", name="No request is like that")).to_be_visible()
    seen.page.get_by_label("Ending").select_option("ok")
    expect(seen.page.locator(".requests tbody tr").first).to_contain_text("fox")
    text = requests.get(f"{server.url}/ui/activity/requests.csv?status=ok", timeout=30).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["model"] == "fox"
    assert rows[0]["status"] == "200"


def test_a_request_under_way_is_ended_by_whoever_may(seen: Watched, server: RunningServer) -> None:
    with answering(server, "endless") as pieces:
        seen.open("/ui/activity/")
        row = seen.page.locator("#under-way tbody tr")
        expect(row).to_contain_text("Answering")
        end = row.get_by_role("button", name="End")
        end.evaluate("button => { button.dataset.seen = 'once'; }")
        end.click()
        expect(seen.page.locator("#confirm-yes")).to_be_visible()
        next(pieces)
        # The list is drawn anew while the question stands before it.
        seen.page.evaluate("import('/static/ui/js/refresh.js').then((pages) => pages.refresh())")
        expect(seen.page.locator("#under-way [data-seen=once]")).to_have_count(0)
        seen.page.locator("#confirm-yes").click()
        expect(seen.page.locator("#under-way")).to_contain_text("Nothing at the moment")
        assert b"request_cancelled" in b"".join(pieces)


def test_the_queue_says_who_waits_and_for_what(seen: Watched, server: RunningServer) -> None:
    seen.open("/ui/queue/")
    seen.expect_live()
    expect(seen.page.locator("#queue")).to_contain_text("Nobody waits")
    with answering(server, "endless"):
        waiting = threading.Thread(target=ask, args=(server, "endless"))
        waiting.start()
        card = seen.page.locator("article")
        expect(card).to_contain_text("It answers one request at a time, and is at it.")
        expect(card.locator("tbody tr")).to_have_count(1)
        seen.check()
        card.get_by_role("button", name="Take out").click()
        seen.page.locator("#confirm-yes").click()
        expect(seen.page.locator("#queue")).to_contain_text("Nobody waits")
        waiting.join(60)
    assert not waiting.is_alive()


def test_a_log_is_followed_filtered_and_paused(seen: Watched, server: RunningServer) -> None:
    seen.open("/ui/logs/?source=fox")
    lines = seen.page.locator(".log-line")
    expect(lines.filter(has_text="server").first).to_be_attached()
    expect(seen.page.locator("#log")).to_have_attribute("data-state", "live")
    before = seen.page.locator("#log-count").inner_text()
    assert ask(server, "fox").ok
    expect(seen.page.locator("#log-count")).not_to_have_text(before)
    seen.page.locator("[data-log=pause]").click()
    shown = lines.count()
    assert ask(server, "fox").ok
    expect(seen.page.locator("#log-new")).to_contain_text("New lines")
    assert lines.count() == shown
    seen.page.locator("#log-filter").fill("SLOT")
    expect(lines.locator("mark").first).to_be_visible()
    expect(seen.page.locator("#log-count")).to_contain_text(" of ")
    expect(seen.page.locator("#log-lines")).to_have_attribute("data-wrap", "")
    seen.page.locator("[data-log=wrap]").click()
    expect(seen.page.locator("#log-lines:not([data-wrap])")).to_be_visible()
    with seen.page.expect_download() as taken:
        seen.page.locator("a[download]").last.click()
    assert "slot" in Path(taken.value.path()).read_text()
    seen.check()


def test_a_hundred_thousand_lines_of_a_log_stay_usable(seen: Watched) -> None:
    seen.open("/ui/logs/")
    told = seen.page.evaluate(
        """async () => {
          const { Lines } = await import("/static/ui/js/logs/lines.js");
          const { LineWindow } = await import("/static/ui/js/logs/window.js");
          const lines = new Lines(), box = document.getElementById("log-lines");
          const pane = new LineWindow(box, lines, () => {});
          lines.append(Array.from({ length: 130000 }, (_, at) => `line ${at}\\n`).join(""));
          pane.toEnd();
          const last = box.lastElementChild.textContent;
          for (let at = 0; at < 40; at++) {
            box.scrollTop = 0;
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          }
          const first = Number(box.firstElementChild.textContent.split(" ")[1]);
          lines.narrow("LINE 129999", "");
          pane.renew("LINE 129999");
          return [lines.count, last, first, box.children.length, box.textContent];
        }"""
    )
    assert told[0] <= 105_000
    assert told[1] == "line 129999"
    assert told[2] < 129_000
    assert told[3:] == [1, "line 129999"]


@pytest.mark.parametrize("path", ["/ui/activity/", "/ui/queue/", "/ui/logs/"])
def test_the_pages_fit_a_phone_in_the_dark(
    browser: Browser, server: RunningServer, path: str
) -> None:
    with watched(browser, server.url, color_scheme="dark", **PHONE) as seen:
        seen.open(path)
        seen.expect_live()
        seen.check_fits()
        seen.check()


@pytest.mark.parametrize("path", ["/ui/activity/?model=fox", "/ui/queue/", "/ui/logs/?source=fox"])
def test_the_pages_work_without_javascript(
    browser: Browser, server: RunningServer, path: str
) -> None:
    assert ask(server, "fox").ok
    with watched(browser, server.url, java_script_enabled=False) as seen:
        seen.open(path)
        expect(seen.page.locator("main")).to_contain_text("fox")
