"""Whoever signed in goes on using models while PostgreSQL is away, and after it is back."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.ggufs import write_reciter
from tests.lan import DATABASE_URL
from tests.server import RunningServer, running_server, wait_until
from tests.services import PostgreSql, postgresql_with_database

pytestmark = pytest.mark.engine

FOX = "The quick brown fox jumps over the lazy dog."
PASSWORD = "correct horse battery"
SIGN_IN = "/ui/sign-in/"
PAGES = ("/ui/", "/ui/models/", "/ui/keys/", "/admin/models_app/servedmodel/")
CHAT = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSql]:
    with postgresql_with_database() as service:
        yield service


@pytest.fixture(scope="module")
def server(
    database: PostgreSql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("models")
    write_reciter(folder / "fox-f32.gguf", FOX)
    home = tmp_path_factory.mktemp("home")
    env = {DATABASE_URL: database.url, "CLARACORE_ADMIN_PASSWORD": PASSWORD}
    with running_server(folder, home=home, env=env) as running:
        admin = signed_in(running)
        wait_until(lambda: chats(running, admin).ok, "the model", running.said)
        yield running


def signed_in(server: RunningServer) -> requests.Session:
    browser = requests.Session()
    form = browser.get(server.url + SIGN_IN, timeout=60).text
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    said = {"name": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
    referer = {"Referer": server.url + SIGN_IN}
    reply = browser.post(
        server.url + SIGN_IN, data=said, headers=referer, timeout=60, allow_redirects=False
    )
    assert reply.status_code == 302, reply.text
    return browser


def chats(server: RunningServer, browser: requests.Session) -> requests.Response:
    return browser.post(f"{server.url}/v1/chat/completions", json=CHAT, timeout=120)


def standing(server: RunningServer) -> str:
    told = requests.get(f"{server.url}/health/ready", timeout=30).json()
    return str(told["database"]["status"])


def test_they_chat_without_it_and_strangers_to_the_server_are_told_to_come_back(
    server: RunningServer, database: PostgreSql
) -> None:
    """Both got a bare 500, and after PostgreSQL's return everybody signed in still did."""
    known, unknown = signed_in(server), signed_in(server)
    assert chats(server, known).status_code == 200
    database.stop(signal.SIGQUIT)
    try:
        wait_until(lambda: standing(server) == "lost", "the loss", server.said)
        for _ in range(2):
            assert chats(server, known).status_code == 200
        refused = chats(server, unknown)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["code"] == "database_away"
        for page in PAGES:
            reply = known.get(server.url + page, timeout=60)
            assert (reply.status_code, "Retry-After" in reply.headers) == (503, True), page
    finally:
        database.start()
    wait_until(lambda: standing(server) == "ok", "its return", server.said)
    assert {chats(server, one).status_code for one in (known, unknown)} == {200}
    assert {known.get(server.url + page, timeout=60).status_code for page in PAGES} == {200}
