"""Once a key is needed, no route answers without one but those that are said to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from claracore_site.asgi import application
from proxy_app import paths
from proxy_app.keys import KeyRing
from proxy_app.serving import SERVING

OPEN = ("/", "/health", "/ui", "/admin")
"""As docs/gateway.md says: the pages have a sign-in of their own."""

OURS = (
    *paths.BY_BODY,
    *paths.BY_QUERY,
    "/v1/models",
    "/v1/models/some",
    "/upstream/some/slots",
    "/running",
    "/info",
    "/unload",
    "/api/events",
    "/logs",
    "/logs/stream",
    "/no/such/path",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


@pytest.fixture(autouse=True)
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing(required=True))


def samples(patterns: Iterable[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """One path for each of Django's routes."""
    for pattern in patterns:
        for text, names in normalize(pattern.pattern.regex.pattern):
            path = before + text % dict.fromkeys(names, "1")
            if isinstance(pattern, URLResolver):
                yield from samples(pattern.url_patterns, path)
            else:
                yield path


def is_open(path: str) -> bool:
    return path == "/" or "/" + path.split("/")[1] in OPEN[1:]


CLOSED = sorted({*OURS, *(p for p in samples(get_resolver().url_patterns) if not is_open(p))})


async def status_of(path: str, method: str = "GET", query: bytes = b"") -> int:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer wrong")],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    status: int = sent[0]["status"]
    return status


def test_the_walk_finds_the_routes() -> None:
    assert len(CLOSED) > len(OURS) + 30
    assert any(path.startswith("/api/models") for path in CLOSED)


@pytest.mark.parametrize("path", CLOSED)
async def test_it_is_refused_without_a_key(path: str) -> None:
    for form in {path, path.rstrip("/") + "/", path.rstrip("/")}:
        for method in METHODS:
            assert await status_of(form, method) == 401, (method, form)
        assert await status_of(form, query=b"api_key=wrong") == 401, form


@pytest.mark.parametrize("path", ["/uix", "/admins/", "/healthy", "/static2/x", "//ui/", "/UI/"])
async def test_a_path_that_only_looks_open_is_refused(path: str) -> None:
    assert await status_of(path) == 401


async def test_the_health_is_told_to_anybody() -> None:
    scope_status = await status_of("/health")
    assert scope_status != 401


async def test_a_web_socket_is_refused_too() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/upstream/some/socket",
        "raw_path": b"/upstream/some/socket",
        "query_string": b"api_key=wrong",
        "headers": [(b"host", b"localhost")],
    }
    await application(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 4401}]
