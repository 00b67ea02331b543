"""A GET, which any page's image can send, changes nothing at a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.ggufs import write_reciter
from tests.server import KEYED, RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "fox-f32.gguf", "The quick brown fox.")
    with running_server(folder) as running:
        running.wait_for_models("fox")
        yield running


def is_loaded(server: RunningServer) -> bool:
    return bool(requests.get(f"{server.url}/running", timeout=30).json()["running"])


def load(server: RunningServer) -> None:
    assert requests.post(f"{server.url}/api/models/fox/load", timeout=60).ok


def unload(server: RunningServer) -> None:
    assert requests.post(f"{server.url}/api/models/unload", timeout=60).ok


def newest_act(server: RunningServer) -> str:
    acts = requests.get(f"{server.url}/api/audit?limit=1", timeout=60).json()["acts"]
    return str(acts[0]["what"])


LOADING = ("/upstream/fox/", "/upstream/fox/health", "/props?model=fox", "/slots?model=fox")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", LOADING)
def test_a_read_loads_no_model(server: RunningServer, method: str, path: str) -> None:
    """The first implementation loads the model for whoever asks (S6 and its like)."""
    unload(server)
    reply = requests.request(method, server.url + path, timeout=60)
    assert reply.status_code == 403
    assert not is_loaded(server)
    if method == "GET":
        assert reply.json()["error"]["code"] == "get_changes_nothing"
        assert "POST /api/models/fox/load" in reply.json()["error"]["message"]


def test_a_read_unloads_no_model(server: RunningServer) -> None:
    """S6: GET /unload changes state, and the first implementation lets anybody."""
    load(server)
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Referer": "http://evil.example/"}):
        reply = requests.get(f"{server.url}/unload", headers=headers, timeout=60)
        assert reply.status_code == 403
        assert "POST /api/models/unload" in reply.json()["error"]["message"]
    assert is_loaded(server)


def test_what_is_loaded_may_be_read(server: RunningServer) -> None:
    load(server)
    assert requests.get(f"{server.url}/upstream/fox/props", timeout=60).ok
    assert requests.get(f"{server.url}/props?model=fox", timeout=60).ok


@pytest.mark.parametrize("headers", [KEYED, {"Sec-Fetch-Site": "same-origin"}, {"Referer": ""}])
def test_a_key_or_our_own_page_may(server: RunningServer, headers: dict[str, str]) -> None:
    if "Referer" in headers:
        headers = {"Referer": f"{server.url}/ui/"}
    unload(server)
    assert requests.get(f"{server.url}/upstream/fox/health", headers=headers, timeout=60).ok
    assert is_loaded(server)
    requests.post(f"{server.url}/upstream/fox/slots/0?action=erase", headers=headers, timeout=60)
    assert newest_act(server) == "POST /upstream/fox/slots/0"
    assert requests.get(f"{server.url}/unload", headers=headers, timeout=60).text == "OK"
    assert newest_act(server) == "GET /unload"
    assert not is_loaded(server)


def test_the_documents_posts_without_a_body_stay_possible_for_scripts(
    server: RunningServer,
) -> None:
    for path in ("/api/models/unload", "/api/models/fox/load", "/api/config/validate-models"):
        assert requests.post(server.url + path, timeout=60).ok, path


def test_a_form_from_nobody_knows_where_is_refused(server: RunningServer) -> None:
    """S2: the first implementation reads JSON under any Content-Type."""
    body = '{"model": "fox", "messages": []}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        for path in ("/v1/chat/completions", "/api/config", "/api/models/unload"):
            headers = {"Content-Type": content_type}
            reply = requests.post(server.url + path, data=body, headers=headers, timeout=60)
            assert reply.status_code == 415, path
            assert "application/json" in reply.text
