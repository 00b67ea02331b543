"""`/logs` and `/logs/stream…`: log text as it is, what is kept first and then what comes.

Streams are `proxy` (the server's own log), `upstream` (all engines), both together when none is
named, and the id of a model for its engine alone. Who looks after some models only hears of their
engines: the others tell of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from proxy_app.access_errors import ModelNotAllowed, OnlyForAllModels
from proxy_app.answer_headers import NOSNIFF
from proxy_app.engine_logs import POLL_SECONDS, LogTail
from proxy_app.errors import MethodNotAllowed
from proxy_app.events import EventHub, Listener
from proxy_app.forward import answer, answer_error
from proxy_app.incoming import LINK, ClientWatch, Receive, Scope, Send
from proxy_app.key_guard import caller_of
from proxy_app.keys import Caller
from proxy_app.logs import HISTORY_BYTES, LogHistory

BOTH: Final = ""
PATHS: Final = r"^/?logs(/stream(/.*)?)?/?$"

_INVALID = b"invalid logger. Use 'proxy' or 'upstream'"
_TEXT = b"text/plain; charset=utf-8"
_HEADERS = [
    (b"content-type", _TEXT),
    (b"cache-control", b"no-cache"),
    NOSNIFF,
    (b"x-accel-buffering", b"no"),
]
_STREAM = b"/logs/stream"


class LogStreams:
    """The ASGI app, and what it tells of."""

    def __init__(
        self,
        catch_up: Callable[[], None],
        engine_log: Callable[[str], Path | None],
        may_hear: Callable[[Caller, str], bool],
    ) -> None:
        """`catch_up` has everything told that waits; `engine_log` finds a model's file by name,
        and `may_hear` tells whether it is one that somebody looks after."""
        self._catch_up = catch_up
        self._engine_log = engine_log
        self._may_hear = may_hear
        self._hubs = {name: EventHub() for name in ("proxy", "upstream", BOTH)}
        self._histories = {name: LogHistory() for name in self._hubs}
        self._closed = asyncio.Event()

    def tell(self, source: str, text: str) -> None:
        """New text of `proxy` or `upstream`."""
        data = text.encode(errors="replace")
        for name in (source, BOTH):
            self._histories[name].append(text)
            self._hubs[name].push(data)

    def close(self) -> None:
        """End every stream."""
        self._closed.set()
        for hub in self._hubs.values():
            hub.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            error = MethodNotAllowed(scope["method"], scope["path"], "GET")
            await answer_error(send, scope["path"], error)
            return
        path, caller = scope["raw_path"].rstrip(b"/"), caller_of(scope)
        name = BOTH
        if path.startswith(_STREAM):
            name = unquote(path[len(_STREAM) :].lstrip(b"/").decode("latin-1"))
        if name in self._hubs and not caller.rights.manages_all:
            await answer_error(send, scope["path"], OnlyForAllModels())
            return
        if not path.startswith(_STREAM):
            await self._whole(scope, send)
            return
        file = None if name in self._hubs else self._engine_log(name)
        if file is None and name not in self._hubs:
            await answer(send, 400, _INVALID, _TEXT)
            return
        if file is not None and not self._may_hear(caller, name):
            await answer_error(send, scope["path"], ModelNotAllowed(name))
            return
        if scope["method"] == "HEAD":
            await _begin(send, "")
            await send({"type": "http.response.body", "body": b""})
            return
        history = not _asks(scope["query_string"], b"no-history")
        watch = ClientWatch(receive, scope.get(LINK))
        if file is None:
            await self._stream(name, history, watch, send)
        else:
            await self._follow(file, history, watch, send)

    async def _whole(self, scope: Scope, send: Send) -> None:
        if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
            await answer(send, 302, b"", _TEXT, [(b"location", b"/ui/")])
            return
        self._catch_up()
        await answer(send, 200, self._histories[BOTH].text().encode(errors="replace"), _TEXT)

    async def _stream(self, name: str, history: bool, watch: ClientWatch, send: Send) -> None:
        self._catch_up()
        text = self._histories[name].text() if history else ""
        with watch, self._hubs[name].listen(Listener(b"")) as listener:
            await _begin(send, text)
            while not listener.ended:
                await _go_on(send, await listener.take())
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, file: Path, history: bool, watch: ClientWatch, send: Send) -> None:
        """An engine's file, read anew for each who asks: there are seldom many."""
        tail = LogTail(file, -HISTORY_BYTES if history else -1)
        try:
            with watch:
                await _begin(send, "")
                while not self._closed.is_set():
                    text = await asyncio.to_thread(tail.read)
                    await _go_on(send, text.encode(errors="replace"))
                    if not text:
                        await asyncio.sleep(POLL_SECONDS)
                await send({"type": "http.response.body", "body": b""})
        finally:
            tail.close()


async def _begin(send: Send, text: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    # Also without text, so that the client has the headers at once.
    body = text.encode(errors="replace")
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _go_on(send: Send, data: bytes) -> None:
    if data:  # An empty piece would end the answer.
        await send({"type": "http.response.body", "body": data, "more_body": True})


def _asks(query: bytes, name: bytes) -> bool:
    return any(pair.partition(b"=")[0] == name for pair in query.split(b"&"))
