"""uvicorn's HTTP/1.1 protocol with what it lacks for a server that faces any client."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. More is refused: a larger head only costs time."""

HEAD_SECONDS = 30.0
"""How long a client may take to send a request's head, from its connection or first byte on."""

_OTHER_PROTOCOL = re.compile(rb"\r\nupgrade:(?![ \t]*websocket)[^\r\n]*", re.IGNORECASE)


class _Transport:
    """A transport that takes no offence at being written to after the client left.

    uvloop's raises then, in the moment before it tells of the leaving, and every client that
    leaves a stream could fill the log with tracebacks.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """Bounds the head, and lets offers of other protocols pass unanswered.

    A client may offer HTTP/2 with its request (Java's does so by default). The parser would
    then take the body for the other protocol's and drop it, so the offer is taken out.
    """

    _in_head = True
    _head_bytes = 0
    _begun = False
    """Whether some of a head has arrived."""
    head_seconds = HEAD_SECONDS
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Transport(transport)))
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        if self._begun and self._head_timer is None:
            self._limit_head()

    def _limit_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        """A client that never finishes asking would hold its connection for ever."""
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.abort()

    def _receive(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and b"\r\n\r\n" not in data[:MAX_HEAD_BYTES]:
                self.send_400_response("The headers are longer than this server takes.")
                return
            if b"pgrade" in data:
                data = _without_other_protocols(data)
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        # Nonsense behind a request that is still being answered: a word about it would stand
        # in the middle of that answer.
        if self._end_answer():
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _end_answer(self) -> bool:
        """Let the answer in progress know that its client left; False when there is none."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return True

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes, self._begun = True, 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = self._begun = False
        self._head_is_here()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()


def _without_other_protocols(data: bytes) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    return _OTHER_PROTOCOL.sub(b"", head) + blank + body
