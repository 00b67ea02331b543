from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from pytest_django.fixtures import Settings

from proxy_app.hosts import GuardedHandler, HostGuard, is_loopback_name
from proxy_app.keys import KeyRing
from proxy_app.serving import SERVING


@pytest.fixture(autouse=True)
def _keys_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing())


class Inside:
    """What the guard protects; it remembers whether it was reached."""

    def __init__(self) -> None:
        self.reached = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(
    method: str = "GET",
    path: str = "/v1/models",
    allowed: tuple[str, ...] = (),
    **headers: str,
) -> tuple[int, bool, bytes]:
    """Status, whether the request got through, and the body."""
    inside, sent = Inside(), []
    headers = {"host": "localhost:5800"} | headers

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    await HostGuard(inside, allowed)(scope, receive, send)
    return sent[0]["status"], inside.reached, sent[1]["body"]


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST:5800", "127.0.0.1:1", "[::1]:5800", "::1", "x.localhost"]
)
def test_loopback_names_are_known(name: str) -> None:
    assert is_loopback_name(name)


@pytest.mark.parametrize(
    "name", ["", "example.com", "localhost.example.com", "192.168.1.2", "127.0.0.1.example.com"]
)
def test_other_names_are_not_loopback(name: str) -> None:
    assert not is_loopback_name(name)


async def test_a_name_that_was_pointed_at_this_machine_is_refused() -> None:
    status, reached, body = await ask(host="evil.example:5800")
    assert (status, reached) == (403, False)
    assert b"CLARACORE_ALLOWED_HOSTS" in body


async def test_a_missing_host_is_refused() -> None:
    assert (await ask(host=""))[:2] == (403, False)


async def test_a_named_host_is_answered() -> None:
    assert (await ask(host="llm.lan:5800", allowed=("llm.lan",)))[:2] == (200, True)


async def test_a_post_from_another_origin_is_refused() -> None:
    assert (await ask("POST", origin="http://evil.example"))[:2] == (403, False)
    assert (await ask("POST", origin="null"))[:2] == (403, False)
    assert (await ask("POST", origin="http://localhost:3000"))[:2] == (403, False)


async def test_our_own_pages_and_plain_clients_may_post() -> None:
    assert (await ask("POST", origin="http://localhost:5800"))[:2] == (200, True)
    assert (await ask("POST"))[:2] == (200, True)


async def test_an_image_on_another_site_cannot_unload_models() -> None:
    status, reached, _ = await ask(
        path="/unload", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"
    )
    assert (status, reached) == (403, False)
    status, reached, _ = await ask(
        path="/unload", sec_fetch_site="cross-site", sec_fetch_mode="navigate"
    )
    assert (status, reached) == (403, False)


async def test_a_link_on_another_site_may_lead_to_our_pages() -> None:
    assert (await ask(path="/ui/", sec_fetch_site="cross-site", sec_fetch_mode="navigate"))[1]


async def test_errors_come_in_the_shape_of_their_path() -> None:
    _, _, body = await ask(path="/api/events", host="evil.example")
    assert body.startswith(b'{"error":"This server')
    _, _, body = await ask(path="/v1/models", host="evil.example")
    assert body.startswith(b'{"error": {"message"')


async def test_options_are_answered_without_opening_anything() -> None:
    status, reached, body = await ask("OPTIONS", origin="http://evil.example")
    assert (status, reached, body) == (204, False, b"")


async def test_what_is_no_host_at_all_is_refused() -> None:
    for host in ("localhost/x", "localhost:x", "localhost,evil.example", "user@localhost", "::1"):
        assert (await ask(host=host))[:2] == (403, False), host


async def front_door(app: Any, *hosts: str) -> int:
    """The status of `/`, which asks Django for the host and the database for nothing."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", host.encode()) for host in hosts],
    }
    requests = [{"type": "http.request", "body": b""}]
    sent: list[Any] = []

    async def receive() -> Any:
        if not requests:
            await asyncio.Event().wait()  # The client stays.
        return requests.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(
    "host", ["localhost:5800", "127.0.0.2:5800", "[::1]:5800", "x.localhost", "LLM.lan", "llm.lan."]
)
async def test_django_answers_to_every_name_the_guard_lets_through(
    settings: Settings, host: str
) -> None:
    settings.ALLOWED_HOSTS = ["llm.lan"]
    django: Any = GuardedHandler()
    assert await front_door(HostGuard(django, settings.ALLOWED_HOSTS), host) == 302


async def test_two_hosts_in_one_request_are_refused() -> None:
    django: Any = GuardedHandler()
    guarded = HostGuard(django, ())
    assert await front_door(guarded, "evil.example", "x.localhost") == 403
    assert await front_door(guarded, "localhost", "localhost") == 403


async def test_without_the_guard_django_keeps_to_its_list(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALLOWED_HOSTS = ["llm.lan"]
    assert await front_door(ASGIHandler(), "llm.lan") == 302
    assert await front_door(ASGIHandler(), "evil.example") == 400


FRIEND = b"https://chat.example"


async def ask_as(
    origin: bytes,
    path: str = "/v1/models",
    method: str = "GET",
    more: tuple[tuple[bytes, bytes], ...] = ((b"sec-fetch-site", b"cross-site"),),
) -> list[Any]:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"origin", origin), *more]
    headers.append((b"access-control-request-headers", b"content-type, x bad, authorization"))
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    guard = HostGuard(app, [], lambda: {FRIEND})
    await guard(scope, None, send)  # type: ignore[arg-type]
    return [sent[0]["status"], dict(sent[0]["headers"])]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_pages_of_a_listed_site_may_use_the_api_and_read_its_answers(method: str) -> None:
    status, headers = await ask_as(FRIEND, method=method)
    assert status == 200
    assert headers[b"access-control-allow-origin"] == FRIEND
    assert headers[b"vary"] == b"Origin"
    assert b"access-control-allow-credentials" not in headers


async def test_a_listed_site_is_told_what_it_may_send() -> None:
    status, headers = await ask_as(FRIEND, method="OPTIONS")
    assert status == 204
    assert headers[b"access-control-allow-headers"] == b"content-type, authorization"
    assert b"POST" in headers[b"access-control-allow-methods"]


async def test_a_site_that_is_not_listed_learns_nothing_from_options() -> None:
    """Programs, and browsers that do not say whose page asks, are told what there is."""
    for more, status in (((b"sec-fetch-site", b"cross-site"),), 403), ((), 204):
        found = await ask_as(b"https://evil.example", method="OPTIONS", more=more)
        assert found[0] == status
        assert not [name for name in found[1] if name.startswith(b"access-control-")]


@pytest.mark.parametrize("path", ["/ui/models/", "/admin/"])
async def test_not_even_a_listed_site_drives_our_pages(path: str) -> None:
    assert (await ask_as(FRIEND, path, "POST"))[0] == 403
