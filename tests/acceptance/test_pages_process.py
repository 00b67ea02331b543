"""Pages come from a process of their own; what it cannot give, the server renders itself."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine

LIST = "/admin/models_app/servedmodel/"


@pytest.fixture(scope="module")
def server(models_folder: Path) -> Iterator[RunningServer]:
    with running_server(models_folder) as running:
        running.wait_for_models("fox")
        yield running


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def pages_process(server: RunningServer) -> psutil.Process | None:
    """The one that is ready to render."""
    for child in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if any(word.endswith("pages_process.child") for word in child.cmdline()):
                return child
        except psutil.Error:
            continue
    return None


def rendered(server: RunningServer) -> int:
    """How many pages came from the process."""
    text = requests.get(f"{server.url}/metrics", timeout=60).text
    name = 'claracore_pages_total{process="pages"}'
    [line] = [line for line in text.splitlines() if line.startswith(name)]
    return int(float(line.split()[-1]))


def until_it_renders(server: RunningServer, browser: requests.Session) -> psutil.Process:
    """Look at pages until one comes from the process."""
    before = rendered(server)

    def came() -> bool:
        assert browser.get(server.url + LIST, timeout=60).status_code == 200
        return rendered(server) > before

    wait_until(came, "a page from the pages process", server.said)
    process = pages_process(server)
    assert process is not None
    return process


def test_pages_come_from_the_process_as_from_the_server(
    server: RunningServer, browser: requests.Session
) -> None:
    first = browser.get(server.url + LIST, timeout=60)  # Nobody renders it but the server.
    until_it_renders(server, browser)
    before = rendered(server)
    again = browser.get(server.url + LIST, timeout=60)
    assert rendered(server) == before + 1
    assert without_tokens(again.text) == without_tokens(first.text)
    assert headers_that_matter(again) == headers_that_matter(first)
    assert "fox" in again.text and 'data-live="fox"' in again.text


def without_tokens(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "csrf" not in line)


def headers_that_matter(reply: requests.Response) -> dict[str, str]:
    kept = ("content-type", "content-security-policy", "x-frame-options", "referrer-policy", "vary")
    return {name: value for name, value in reply.headers.items() if name.lower() in kept}


def test_it_knows_what_the_engines_do(server: RunningServer, browser: requests.Session) -> None:
    until_it_renders(server, browser)
    body = {"model": "fox", "prompt": "The", "max_tokens": 1}
    assert requests.post(f"{server.url}/v1/completions", json=body, timeout=90).ok
    before = rendered(server)
    for path in (LIST, "/ui/models/"):
        assert "Ready" in browser.get(server.url + path, timeout=60).text
    assert rendered(server) == before + 2


def test_acts_are_done_by_the_server(server: RunningServer, browser: requests.Session) -> None:
    until_it_renders(server, browser)
    page = browser.get(f"{server.url}/ui/models/", timeout=60)
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {"csrfmiddlewaretoken": token, "unload": "fox"}
    before = rendered(server)
    done = browser.post(
        f"{server.url}/ui/models/act/",
        data=form,
        headers={"Origin": server.url},
        timeout=60,
        allow_redirects=False,
    )
    assert (done.status_code, rendered(server)) == (302, before)
    running = f"{server.url}/running"
    wait_until(lambda: not requests.get(running, timeout=30).json()["running"], "the unloading")


def test_foreign_hosts_and_strangers_fare_as_before(
    server: RunningServer, browser: requests.Session
) -> None:
    until_it_renders(server, browser)
    foreign = {"Host": "evil.example"}
    assert requests.get(server.url + LIST, headers=foreign, timeout=60).status_code in (
        400,
        403,
        421,
    )
    # Whoever comes through a proxy is nobody from this machine, and has to sign in.
    relayed = {"X-Forwarded-For": "203.0.113.9"}
    reply = requests.get(server.url + LIST, headers=relayed, timeout=60, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"].split("?")[0]) == (302, "/admin/login/")
    assert browser.get(f"{server.url}/admin/nothing/", timeout=60).status_code == 404
    head = browser.head(server.url + LIST, timeout=60)
    assert (head.status_code, head.content) == (200, b"")


def test_nobody_else_can_reach_it(server: RunningServer, browser: requests.Session) -> None:
    process = until_it_renders(server, browser)
    [door] = (server.home / "run").glob("pages-*.sock")
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert not process.net_connections("inet")
    assert process.nice() == 10


def test_a_killed_process_is_done_without_and_replaced(
    server: RunningServer, browser: requests.Session
) -> None:
    process = until_it_renders(server, browser)
    process.kill()
    assert browser.get(server.url + LIST, timeout=60).status_code == 200
    wait_until(lambda: not process.is_running(), "the end of the old one")
    assert until_it_renders(server, browser).pid != process.pid
    assert "The pages process ended" in server.said()


def test_a_process_that_hangs_is_done_without_and_replaced(
    server: RunningServer, browser: requests.Session
) -> None:
    process = until_it_renders(server, browser)
    os.kill(process.pid, signal.SIGSTOP)
    assert browser.get(server.url + LIST, timeout=60).status_code == 200
    wait_until(lambda: not process.is_running(), "the end of the one that hung")
    assert until_it_renders(server, browser).pid != process.pid


def test_it_ends_with_the_server_however_that_ends(models_folder: Path) -> None:
    with running_server(models_folder) as server, requests.Session() as browser:
        process = until_it_renders(server, browser)
        assert requests.post(f"{server.url}/api/server/restart/hard", timeout=180).ok
        wait_until(lambda: not process.is_running(), "its end before the restart")
        wait_until(lambda: is_up(server), "the server")
        process = until_it_renders(server, browser)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not process.is_running(), "its end after the server's")


def is_up(server: RunningServer) -> bool:
    try:
        return requests.get(f"{server.url}/health", timeout=10).ok
    except requests.ConnectionError:
        return False
