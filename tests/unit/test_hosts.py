from __future__ import annotations

from typing import Any

import pytest

from proxy_app.hosts import HostGuard, is_loopback_name


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
    assert body.startswith(b'{"error": "This server')
    _, _, body = await ask(path="/v1/models", host="evil.example")
    assert body.startswith(b'{"error": {"message"')


async def test_options_are_answered_without_opening_anything() -> None:
    status, reached, body = await ask("OPTIONS", origin="http://evil.example")
    assert (status, reached, body) == (204, False, b"")
