"""A page of strangers, in the browser of somebody who is let in here, tries to drive the server.

The same page is let loose on a server without any defence first: what it sends does get through.
Nobody is let in under the name llm.lan just so, and what is refused to everybody proves nothing:
there the visitor is signed in, or the server lets everybody in (`--insecure`) so that not even a
cookie, which browsers hold back from other sites, stands between it and the page.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, Page

from tests.browser import Browsers, running_browsers
from tests.ggufs import write_reciter
from tests.server import RunningServer, running_server, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.engine]

LIMIT_MS = 120_000
NAMES = "MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1, MAP llm.lan 127.0.0.1"
BEACON_MS = 1000
"""A beacon tells nobody when it has arrived; the one at the defenceless server is seen by then."""

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


class LetIn(Enum):
    """Why the visitor's browser may drive the server."""

    SITS_HERE = "sits here"
    SIGNED_IN = "signed in"
    EVERYBODY = "everybody"


SITS_HERE = ("127.0.0.1", LetIn.SITS_HERE)
SIGNED_IN = ("llm.lan", LetIn.SIGNED_IN)
EVERYBODY = ("llm.lan", LetIn.EVERYBODY)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else f"{value[0]}, {value[1].value}"


PASSWORD = "correct horse 9"
STARTED_WITH: dict[LetIn, dict[str, str]] = {
    LetIn.SITS_HERE: {},
    LetIn.SIGNED_IN: {"CLARACORE_ADMIN_PASSWORD": PASSWORD},
    LetIn.EVERYBODY: {"CLARACORE_INSECURE": "true"},
}


@dataclass
class Target:
    """A server, the name by which the browser knows it, and somebody who watches it."""

    server: RunningServer
    name: str
    let_in: LetIn
    watcher: requests.Session

    @property
    def url(self) -> str:
        return f"http://{self.name}:{self.server.url.rpartition(':')[2]}"

    def state(self) -> str:
        """Everything that the page tries to change."""
        paths = (
            *("/running", "/api/config", "/api/settings/system", "/api/config/folders"),
            *("/api/keys", "/api/people", "/api/models/downloads"),
        )
        answers = {}
        for path in paths:
            reply = self.watcher.get(self.server.url + path, timeout=30)
            assert reply.ok, (path, reply.text)
            answers[path] = reply.json()
        return json.dumps(answers, sort_keys=True)

    def put(self, model: str, state: str) -> None:
        """Have a model loaded or unloaded."""
        asked = self.watcher.post(f"{self.server.url}/api/models/{model}/{state}", timeout=90)
        assert asked.ok, asked.text


@pytest.fixture(scope="module")
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    name, let_in = request.param
    assert isinstance(let_in, LetIn)
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "fox-f32.gguf", "The quick brown fox.")
    write_reciter(folder / "sea-f32.gguf", "Far out in the ocean.")
    env = {"CLARACORE_ALLOWED_HOSTS": "llm.lan", **STARTED_WITH[let_in]}
    with running_server(folder, env=env) as server, requests.Session() as watcher:
        found = Target(server, name, let_in, watcher)
        if let_in is LetIn.SIGNED_IN:
            _sign_in(watcher, server)

        def known() -> set[str]:
            listed = watcher.get(f"{server.url}/v1/models", timeout=30).json()
            return {model["id"] for model in listed["data"]}

        wait_until(lambda: {"fox", "sea"} <= known(), "the models", server.said)
        found.put("fox", "load")
        yield found


def _sign_in(watcher: requests.Session, server: RunningServer) -> None:
    address = f"{server.url}/ui/sign-in/"
    watcher.get(address, timeout=60)
    form = {"name": "admin", "password": PASSWORD}
    form["csrfmiddlewaretoken"] = watcher.cookies["csrftoken"]
    assert watcher.post(address, form, allow_redirects=False, timeout=60).status_code == 302


@pytest.fixture(scope="module")
def attacker() -> Iterator[_Server]:
    with _listening() as listening:
        yield listening


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browsers]:
    with running_browsers(f"--host-resolver-rules={NAMES}") as browsers:
        yield browsers


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(LIMIT_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(visitor: Page, target: Target) -> Page:
    """A browser that the target lets in, on its first page."""
    target.put("sea", "unload")
    visitor.goto(f"{target.url}/ui/")
    if target.let_in is LetIn.SIGNED_IN:
        visitor.locator("input[name=name]").fill("admin")
        visitor.locator("input[name=password]").fill(PASSWORD)
        visitor.locator("form.stack button").click()
        # Where it leads then depends on what is set up.
        visitor.wait_for_url(re.compile(r"/ui/(?!sign-in)"))
    assert visitor.evaluate("fetch('/api/config').then(answer => answer.status)") == 200
    return visitor


def attack(page: Page, site: str, target: str) -> list[str]:
    """Visit the page at `site`; what it got to see of the target."""
    page.goto(f"{site}/kittens?{urlencode({'target': target, 'model': 'sea'})}")
    page.wait_for_function("document.title === 'done'")
    won: list[str] = page.evaluate("window.won")
    page.wait_for_timeout(BEACON_MS)
    return won


def test_the_page_does_drive_a_server_without_defence(visitor: Page, attacker: _Server) -> None:
    with _listening() as victim:
        won = attack(
            visitor, f"http://evil.example:{attacker.port}", f"http://llm.lan:{victim.port}"
        )
    assert len(won) >= 5
    assert {
        "POST /api/models/unload",
        "POST /api/models/sea/load",
        "POST /api/models/sea/unload",
        "POST /api/keys",
        "POST /api/models/download",
        "POST /ui/sign-in/",
        "POST /api/config",
        "POST /api/settings/system",
        "POST /ui/models/",
        "DELETE /api/config/models/sea",
        "GET /unload",
        "GET /upstream/sea/",
        "GET /props",
    } <= set(victim.seen)


@pytest.mark.parametrize(
    ("target", "site"),
    [
        (SITS_HERE, "evil.example"),
        (SITS_HERE, "127.0.0.1"),
        (SIGNED_IN, "evil.example"),
        (SIGNED_IN, "llm.lan"),
        (EVERYBODY, "evil.example"),
        (EVERYBODY, "llm.lan"),
    ],
    indirect=["target"],
    ids=_said,
)
def test_a_page_of_another_origin_changes_and_reads_nothing(
    page: Page, target: Target, attacker: _Server, site: str
) -> None:
    """S2. Under llm.lan the browser says least: over plain HTTP it sends no Sec-Fetch-Site."""
    before = target.state()
    assert attack(page, f"http://{site}:{attacker.port}", target.url) == []
    assert target.state() == before


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (SITS_HERE, "/unload"),
        (SIGNED_IN, "/unload"),
        (SIGNED_IN, "/props?model=sea"),
        (EVERYBODY, "/unload"),
        (EVERYBODY, "/props?model=sea"),
    ],
    indirect=["target"],
    ids=_said,
)
def test_a_link_on_another_site_changes_nothing(
    page: Page, target: Target, attacker: _Server, path: str
) -> None:
    before = target.state()
    page.goto(f"http://evil.example:{attacker.port}/empty")
    with page.expect_navigation():
        page.evaluate(f"location.href = '{target.url}{path}'")
    assert "changes nothing" in page.content() or "another site" in page.content()
    assert target.state() == before


@pytest.mark.parametrize("target", [SITS_HERE, EVERYBODY], indirect=True, ids=_said)
def test_a_name_that_was_pointed_here_is_not_answered(page: Page, target: Target) -> None:
    """DNS rebinding: for the browser the page and this server are one origin then."""
    before = target.state()
    rebound = f"http://rebound.example:{target.url.rpartition(':')[2]}"
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
    assert target.state() == before


@pytest.mark.parametrize("target", [SITS_HERE, SIGNED_IN, EVERYBODY], indirect=True, ids=_said)
def test_our_own_page_still_acts(page: Page, target: Target) -> None:
    statuses = page.evaluate(
        """() => Promise.all([
            fetch("/api/models/sea/load", {method: "POST"}),
            fetch("/upstream/sea/health"),
        ]).then(answers => answers.map(answer => answer.status))"""
    )
    assert statuses == [200, 200]
