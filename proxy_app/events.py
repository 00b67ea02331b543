"""`/api/events`: what happens on this server, to everybody who listens.

Each message is `event:message`, a newline and `data:` with compact JSON whose own `data` is a
string of JSON. Existing clients read exactly these bytes, so no id, retry or other event name
is ever sent; a comment line keeps idle connections open.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec

from proxy_app.answer_headers import NOSNIFF
from proxy_app.audience import may_hear
from proxy_app.errors import MethodNotAllowed
from proxy_app.forward import answer_refusal
from proxy_app.incoming import LINK, ClientWatch, Receive, Scope, Send
from proxy_app.key_guard import CALLER
from proxy_app.keys import LOCAL, STRANGER, Caller

HEARTBEAT_SECONDS = 15.0
BACKLOG_BYTES = 4 * 1024 * 1024
"""What one listener may be behind. One that falls further behind is disconnected: when it
comes back it is told the whole state again, so it misses nothing that still matters."""

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    NOSNIFF,
    (b"x-accel-buffering", b"no"),
]


WithinReach = Callable[[Caller, str, Any], Any]

_encode: Final = msgspec.json.Encoder().encode


def frame(kind: str, value: Any) -> bytes:
    """One message as it goes over the wire."""
    try:
        data = _encode(value).decode()
        return b"event:message\ndata:%b\n\n" % _encode({"type": kind, "data": data})
    except UnicodeEncodeError:
        return _frame_of_broken_text(kind, value)


def _frame_of_broken_text(kind: str, value: Any) -> bytes:
    """For text that is half a character somewhere, as logs may have it."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    envelope = json.dumps({"type": kind, "data": data}, separators=(",", ":"), ensure_ascii=False)
    return f"event:message\ndata:{envelope}\n\n".encode(errors="replace")


class Listener:
    """One connected client's backlog."""

    def __init__(
        self,
        heartbeat: bytes = b":\n\n",
        caller: Caller = LOCAL,
        quiet: float = HEARTBEAT_SECONDS,
    ) -> None:
        """`heartbeat` is what is sent when nothing has come for `quiet` seconds."""
        self._heartbeat = heartbeat
        self._quiet = quiet
        self.caller = caller
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self.ended = False

    def push(self, data: bytes) -> None:
        if self.ended:
            return
        self._frames.append(data)
        self._size += len(data)
        if self._size > BACKLOG_BYTES:
            self.end()
        self._wake.set()

    def end(self) -> None:
        self.ended = True
        self._wake.set()

    async def take(self) -> bytes:
        """Everything that waits, in one piece; a heartbeat when nothing came for a while."""
        try:
            async with asyncio.timeout(self._quiet):
                await self._wake.wait()
        except TimeoutError:
            return self._heartbeat
        self._wake.clear()
        data = b"".join(self._frames)
        self._frames.clear()
        self._size = 0
        return data


class EventHub:
    """Knows who listens and tells them; lives in one event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False
        self.tap: Callable[[str, Any], None] | None = None
        """Is told every message as it is, besides those who listen."""
        self.is_tapped: Callable[[], bool] = lambda: False
        """Whether somebody hears what is told to `tap`."""
        self.within_reach: WithinReach = lambda caller, kind, value: value
        """What of a message somebody is told who may use some models only."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners) or self.is_tapped()

    def publish(self, kind: str, value: Any, own: Callable[[Caller], Any] | None = None) -> None:
        """Tell everybody who may hear it. Called in the event loop.

        `own` gives what concerns one of the others, and something empty when nothing does.
        """
        if self.tap is not None:
            self.tap(kind, value)
        whole = b""
        for listener in self._listeners:
            if may_hear(listener.caller, kind):
                if listener.caller.rights.is_limited:
                    listener.push(frame(kind, self.within_reach(listener.caller, kind, value)))
                    continue
                whole = whole or frame(kind, value)
                listener.push(whole)
            elif own is not None and (part := own(listener.caller)):
                listener.push(frame(kind, part))

    def push(self, data: bytes) -> None:
        """Tell everybody something that is no event."""
        for listener in self._listeners:
            listener.push(data)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @contextmanager
    def listen(self, listener: Listener | None = None) -> Iterator[Listener]:
        """A listener for the time of the block."""
        listener = listener or Listener()
        self._listeners.add(listener)
        if self._closed:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closed = True
        for listener in self._listeners:
            listener.end()


FirstMessages = Callable[[Callable[[str], bool]], list[tuple[str, Any]]]
"""Kinds and values, of those kinds that somebody hears of."""


class EventStream:
    """The ASGI app behind `/api/events`."""

    def __init__(self, hub: EventHub, first: FirstMessages) -> None:
        """`first` gives the messages with which a new listener is told the state."""
        self._hub = hub
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "GET")
        if method != "GET":
            error = MethodNotAllowed(method, scope["path"], "GET")
            await answer_refusal(scope, receive, send, error)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        caller = scope.get(CALLER, STRANGER)
        # Asked for before it listens: what it is told of the past, it is not told again as news.
        hears = partial(may_hear, caller)
        first = self._first(hears)
        watch = ClientWatch(receive, scope.get(LINK))
        with watch, self._hub.listen(Listener(caller=caller)) as listener:
            told = (
                frame(kind, self._hub.within_reach(caller, kind, value))
                for kind, value in first
                if hears(kind)
            )
            state = b"".join(told)
            await send({"type": "http.response.body", "body": state, "more_body": True})
            while not listener.ended:
                data = await listener.take()
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
