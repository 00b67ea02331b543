"""The first administrator is one, however many ask at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import requests

from tests.server import RunningServer, running_server

FORM = {"password": "correct horse 9", "again": "correct horse 9"}
TRIES = 4


def test_several_at_once_make_one_administrator() -> None:
    with running_server() as server, ThreadPoolExecutor(TRIES) as pool:
        visitors = [requests.Session() for _ in range(TRIES)]
        tokens = [token_for(server, visitor) for visitor in visitors]
        sent = pool.map(partial(send, server), visitors, tokens, map(str, range(TRIES)))
        first = [visitor for visitor, answer in zip(visitors, sent, strict=True) if answer]
        assert len(first) == 1
        everybody = first[0].get(f"{server.url}/api/people", timeout=60).json()["people"]
        assert len(everybody) == 1


def token_for(server: RunningServer, visitor: requests.Session) -> str:
    page = visitor.get(f"{server.url}/ui/welcome/", timeout=60).text
    return page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]


def send(server: RunningServer, visitor: requests.Session, token: str, name: str) -> bool:
    """Whether they were signed in as the administrator they asked to be."""
    form = {**FORM, "name": f"boss{name}", "csrfmiddlewaretoken": token}
    address, origin = f"{server.url}/ui/welcome/", {"Origin": server.url}
    visitor.post(address, form, headers=origin, timeout=60, allow_redirects=False)
    me = visitor.get(f"{server.url}/api/me", timeout=60).json()
    return bool(me.get("name") == form["name"])


def test_a_server_that_lets_everybody_in_says_so_on_its_console() -> None:
    """And it does: what looks like coming through a proxy is nobody at this machine."""
    stranger = {"X-Forwarded-For": "203.0.113.9"}
    with running_server(arguments=["--insecure"]) as server:
        assert "INSECURE: everybody who reaches this port may do everything" in server.said()
        assert requests.get(f"{server.url}/api/people", headers=stranger, timeout=60).ok
    with running_server() as server:
        assert "INSECURE" not in server.said()
        answer = requests.get(f"{server.url}/api/people", headers=stranger, timeout=60)
        assert answer.status_code == 401
