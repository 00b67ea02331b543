"""Turns away requests without the key they need, before anything else looks at them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import sync_to_async

from proxy_app.errors import GatewayError
from proxy_app.forward import answer_refusal
from proxy_app.incoming import Receive, Scope, Send
from proxy_app.keys import Caller, Keys, read_ring

_OPEN = frozenset(("/", "/health", "/health/", "/favicon.ico", "/apple-touch-icon.png"))
_PAGES = ("/ui", "/admin", "/static")
"""Pages ask their visitors to sign in by themselves."""

_EVENTS_AND_LOGS = ("/api/events", "/logs", "/api/logs")
"""Browsers cannot send headers with an `EventSource`, so there the query may hold the key."""

CALLER = "claracore.caller"


class KeyGuard:
    """An ASGI app around the server: finds out who calls, and says so in `scope[CALLER]`."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and _is_guarded(scope["path"]):
            try:
                # A server without lifespan keeps no ring; an error here lets nobody in.
                ring = self._keys.ring or await sync_to_async(read_ring)()
                by_query = _may_ask_by_query(scope)
                scope[CALLER] = self._keys.caller_of(scope, ring, from_query=by_query)
            except GatewayError as error:
                await answer_refusal(scope, receive, send, error)
                return
        await self._app(scope, receive, send)


def caller_of(scope: Scope) -> Caller:
    """Who sent the request, as the guard found out."""
    caller: Caller = scope[CALLER]
    return caller


def _is_guarded(path: str) -> bool:
    if path in _OPEN:
        return False
    if not path.startswith(_PAGES):
        return True
    # `/uix` is no page of ours.
    return "/" + path.split("/", 2)[1] not in _PAGES


def _may_ask_by_query(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["type"] == "websocket" or path.startswith(_EVENTS_AND_LOGS)
