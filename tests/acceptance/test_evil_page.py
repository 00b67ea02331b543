"""A page of strangers, in a real browser that is signed in here, tries to drive the server.

The same page is let loose on a server without any defence first: what it sends does get through.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import OPTIONS, chromium
from tests.ggufs import write_reciter
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

LIMIT_MS = 120_000
NAMES = "MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1, MAP llm.lan 127.0.0.1"
EVIL = (Path(__file__).parent / "evil.html").read_bytes()


class _Defenceless(BaseHTTPRequestHandler):
    """Answers everything, lets everybody, and remembers what would have changed it."""

    def do_GET(self) -> None:
        if self.path.startswith("/kittens"):
            self._answer(EVIL)
            return
        self._note()
        self._answer(b"OK")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        self._answer(b"{}")

    def do_DELETE(self) -> None:
        self._note()
        self._answer(b"{}")

    def do_OPTIONS(self) -> None:
        self._answer(b"")

    def _note(self) -> None:
        if isinstance(self.server, _Server):
            self.server.seen.append(f"{self.command} {self.path.partition('?')[0]}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin") or "*")
        self.send_header("Access-Control-Allow-Credentials", "true")
        self.send_header("Access-Control-Allow-Headers", "content-type, authorization, x-api-key")
        self.send_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Defenceless)
        self.seen: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def _listening() -> Iterator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "fox-f32.gguf", "The quick brown fox.")
    write_reciter(folder / "sea-f32.gguf", "Far out in the ocean.")
    with running_server(folder, env={"CLARACORE_ALLOWED_HOSTS": "llm.lan"}) as running:
        running.wait_for_models("fox", "sea")
        assert requests.post(f"{running.url}/api/models/fox/load", timeout=90).ok
        yield running


@pytest.fixture(scope="module")
def attacker() -> Iterator[_Server]:
    with _listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = [*OPTIONS, f"--host-resolver-rules={NAMES}"]
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=chromium(), args=options)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    assert requests.post(f"{server.url}/api/models/sea/unload", timeout=60).ok
    context = browser.new_context()
    context.set_default_timeout(LIMIT_MS)
    yield context.new_page()
    context.close()


def state(server: RunningServer) -> str:
    """Everything that the page tries to change."""
    paths = ("/running", "/api/config", "/api/settings/system", "/api/config/folders")
    answers = {path: requests.get(server.url + path, timeout=30).json() for path in paths}
    return json.dumps(answers, sort_keys=True)


def attack(page: Page, site: str, target: str) -> list[str]:
    """Visit the page at `site`; what it got to see of the target."""
    page.goto(f"{site}/kittens?{urlencode({'target': target, 'model': 'sea'})}")
    page.wait_for_function("document.title === 'done'")
    won: list[str] = page.evaluate("window.won")
    return won


def port_of(server: RunningServer) -> str:
    return server.url.rpartition(":")[2]


def test_the_page_does_drive_a_server_without_defence(page: Page, attacker: _Server) -> None:
    with _listening() as victim:
        won = attack(page, f"http://evil.example:{attacker.port}", f"http://llm.lan:{victim.port}")
    assert len(won) >= 5
    assert {
        "POST /api/models/unload",
        "POST /api/models/sea/load",
        "POST /api/config",
        "POST /api/settings/system",
        "POST /ui/models/",
        "DELETE /api/config/models/sea",
        "GET /unload",
        "GET /upstream/sea/",
        "GET /props",
    } <= set(victim.seen)


@pytest.mark.parametrize(
    ("site", "name"),
    [
        ("evil.example", "127.0.0.1"),
        ("evil.example", "llm.lan"),
        ("127.0.0.1", "127.0.0.1"),
        ("llm.lan", "llm.lan"),
    ],
)
def test_a_page_of_another_origin_changes_and_reads_nothing(
    page: Page, server: RunningServer, attacker: _Server, site: str, name: str
) -> None:
    """S2. Under llm.lan the browser says least: over plain HTTP it sends no Sec-Fetch-Site."""
    target = f"http://{name}:{port_of(server)}"
    page.goto(f"{target}/ui/")  # The visitor is signed in.
    before = state(server)
    assert attack(page, f"http://{site}:{attacker.port}", target) == []
    assert state(server) == before


@pytest.mark.parametrize(
    ("name", "path"),
    [("127.0.0.1", "/unload"), ("llm.lan", "/unload"), ("llm.lan", "/props?model=sea")],
)
def test_a_link_on_another_site_changes_nothing(
    page: Page, server: RunningServer, attacker: _Server, name: str, path: str
) -> None:
    before = state(server)
    page.goto(f"http://evil.example:{attacker.port}/empty")
    with page.expect_navigation():
        page.evaluate(f"location.href = 'http://{name}:{port_of(server)}{path}'")
    assert "changes nothing" in page.content() or "another site" in page.content()
    assert state(server) == before


def test_a_name_that_was_pointed_here_is_not_answered(page: Page, server: RunningServer) -> None:
    """DNS rebinding: for the browser the page and this server are one origin then."""
    before = state(server)
    rebound = f"http://rebound.example:{port_of(server)}"
    for path in ("/", "/ui/", "/api/config", "/v1/models"):
        answer = page.goto(rebound + path)
        assert answer is not None and answer.status == 403
    statuses = page.evaluate(
        """() => Promise.all([
            fetch("/api/models/unload", {method: "POST"}),
            fetch("/unload"),
            fetch("/api/config", {method: "POST", body: '{"yaml": "models: {}"}'}),
        ]).then(answers => answers.map(answer => answer.status))"""
    )
    assert statuses == [403, 403, 403]
    assert state(server) == before


def test_our_own_page_still_acts(page: Page, server: RunningServer) -> None:
    page.goto(f"http://llm.lan:{port_of(server)}/ui/")
    statuses = page.evaluate(
        """() => Promise.all([
            fetch("/api/models/sea/load", {method: "POST"}),
            fetch("/upstream/sea/health"),
        ]).then(answers => answers.map(answer => answer.status))"""
    )
    assert statuses == [200, 200]
