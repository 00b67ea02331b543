"""Streams end with the right to hear them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from models_app.api_keys import digest_of
from models_app.rights import Rights, Scope
from proxy_app.key_guard import KeyGuard
from proxy_app.keys import Caller, Key, KeyRing, Keys

BODY = "http.response.body"


def ring(*scopes: Scope) -> KeyRing:
    """With one key that has these scopes; none without any."""
    caller = Caller("Ann", 1, Rights(1, "Ann", frozenset(scopes), key_id=1))
    key = Key(bytes.fromhex(digest_of("sk-one")), caller)
    return KeyRing.of(True, [key] if scopes else [])


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "client": ("203.0.113.9", 1),
        "headers": [(b"host", b"llm.lan"), (b"x-api-key", b"sk-one")],
    }


async def nothing() -> dict[str, Any]:
    raise AssertionError("A stream has no body to read.")


class Streaming:
    """A server that tells something again and again, and who hears it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_over = False
        self.keys = Keys()
        self.keys.ring = ring(Scope.INFERENCE, Scope.MANAGE)
        self.guard = KeyGuard(self._app, self.keys)
        self.guard.look_again_seconds = 0.01

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": BODY, "body": b"news", "more_body": True})
                await asyncio.sleep(0.005)
        finally:
            self.is_over = True

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("path", ["/api/events", "/logs/stream", "/logs/stream/fox"])
@pytest.mark.parametrize("later", [(), (Scope.INFERENCE,)])
async def test_a_stream_ends_for_whom_the_rights_were_taken(
    path: str, later: tuple[Scope, ...]
) -> None:
    server = Streaming()
    work = asyncio.ensure_future(server.guard(scope_of(path), nothing, server.send))
    await server.until(lambda: len(server.sent) > 20)
    assert not work.done()
    server.keys.ring = ring(*later)
    async with asyncio.timeout(30):
        await work
    assert server.is_over
    assert server.sent[-1] == {"type": BODY, "body": b""}


async def test_a_stream_ends_with_who_waits_for_it() -> None:
    server = Streaming()
    work = asyncio.ensure_future(server.guard(scope_of("/api/events"), nothing, server.send))
    await server.until(lambda: len(server.sent) > 3)
    work.cancel()
    await server.until(lambda: server.is_over)
    with pytest.raises(asyncio.CancelledError):
        await work
