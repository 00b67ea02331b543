"""Finds out who calls, and turns away whoever may not, before anything else looks at a request.

What Django answers has the same guard in `claracore_site.rights`, which knows sessions and views;
it takes over from here what the request itself told.
"""

from __future__ import annotations

import asyncio
from enum import Enum

from models_app.rights import Scope as Right
from proxy_app import paths
from proxy_app.access_errors import KeyRequired, NotAllowed
from proxy_app.database_calls import asked
from proxy_app.errors import GatewayError
from proxy_app.forward import answer_refusal
from proxy_app.incoming import App, ClientLink, Receive, Scope, Send, Take, take_nothing
from proxy_app.key_rows import read_ring
from proxy_app.keys import Caller, Keys
from proxy_app.sessions import Sessions, session_key

_HEALTH = ("/health", "/health/live", "/health/ready")
_OPEN = frozenset(
    (
        *("/", "/upstream", "/favicon.ico", "/apple-touch-icon.png"),
        *_HEALTH,
        *(f"{path}/" for path in _HEALTH),
    )
)
"""Of these `/` and `/upstream` only lead to pages."""
_PAGES = ("/ui", "/admin", "/static")
"""Pages ask their visitors to sign in by themselves."""

_EVENTS_AND_LOGS = ("/api/events", "/logs", "/api/logs")
"""Browsers cannot send headers with an `EventSource`, so there the query may hold the key."""

CALLER = "claracore.caller"


class Django(Enum):
    """Instead of a right: it depends on the view."""

    KNOWS = "its middleware asks for the right"


class KeyGuard:
    """An ASGI app around the server: says in `scope[CALLER]` who calls."""

    look_again_seconds = 10.0
    """How often a stream of events or logs is looked at again: it may go on for days."""

    def __init__(self, app: App, keys: Keys, take: Take = take_nothing) -> None:
        self._app = app
        self._keys = keys
        self._sessions = Sessions()
        self._take = take

    def take(self, scope: Scope, link: ClientLink) -> bool:
        """Whether a known caller's request was taken. All that are need the right to use models."""
        caller = self._keys.known(scope)
        if caller is None or not caller.rights.may(Right.INFERENCE):
            return False
        scope[CALLER] = caller
        return self._take(scope, link)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            try:
                await self._check(scope)
            except GatewayError as error:
                await answer_refusal(scope, receive, send, error)
                return
            if _has_no_end(scope):
                await self._while_allowed(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        right = needed(scope)
        caller = await self._caller_of(scope, by_session=isinstance(right, Right))
        if isinstance(right, Right):
            _check_right(caller, right)
        elif right is Django.KNOWS and not caller.rights.scopes and not session_key(scope):
            # Django would take in the whole body before it looks.
            raise KeyRequired
        scope[CALLER] = caller

    async def _caller_of(self, scope: Scope, *, by_session: bool) -> Caller:
        # A server without lifespan keeps no ring; an error here lets nobody in.
        ring = self._keys.ring
        if ring is None:
            ring = await asked(read_ring)
        caller = self._keys.caller_of(scope, ring, from_query=_may_ask_by_query(scope))
        if by_session and not caller.rights.scopes:
            caller = await self._sessions.caller_of(scope)
        return caller

    async def _while_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who was kept out meanwhile hears no more; with other rights they may come again."""
        work = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not (await asyncio.wait((work,), timeout=self.look_again_seconds))[0]:
                if not await self._has_same_rights(scope):
                    break
            else:
                await work
                return
        finally:
            work.cancel()
        await asyncio.wait((work,))
        await send({"type": "http.response.body", "body": b""})

    async def _has_same_rights(self, scope: Scope) -> bool:
        try:
            caller = await self._caller_of(scope, by_session=True)
        except GatewayError:
            return False
        return caller.rights == caller_of(scope).rights


def _check_right(caller: Caller, right: Right) -> None:
    if not caller.rights.may(right):
        raise NotAllowed(right) if caller.rights.scopes else KeyRequired


def caller_of(scope: Scope) -> Caller:
    """Who sent the request, as the guard found out."""
    caller: Caller = scope[CALLER]
    return caller


def needed(scope: Scope) -> Right | Django | None:
    """The right that a request needs; None where anybody may come.

    Settings of an engine are changed at `/props` and the like, here or at `/upstream/<model>/`,
    where its tools are as well, if it has any: they run programs.
    """
    path: str = scope["path"]
    if path in _OPEN or _is_page(path):
        return None
    if scope["type"] == "websocket":
        return Right.ADMIN if paths.commands(path) else Right.INFERENCE
    if paths.is_ours(path):
        if paths.commands(path):
            return Right.ADMIN
        if paths.manages(path, scope["method"]):
            return Right.MANAGE
        return Right.INFERENCE
    plain = path.rstrip("/")
    if plain == "/api/events":
        return Right.INFERENCE
    if plain == "/logs" or plain.startswith("/logs/"):
        return Right.MANAGE
    return Django.KNOWS


def _is_page(path: str) -> bool:
    """Whether its visitor is asked to sign in. `/uix` is no page of ours."""
    return path.startswith(_PAGES) and "/" + path.split("/", 2)[1] in _PAGES


def _has_no_end(scope: Scope) -> bool:
    """Whether what is answered goes on until somebody leaves: events and logs."""
    if scope["type"] != "http":
        return False
    plain: str = scope["path"].rstrip("/")
    return plain == "/api/events" or plain.startswith("/logs/stream")


def _may_ask_by_query(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["type"] == "websocket" or path.startswith(_EVENTS_AND_LOGS)
