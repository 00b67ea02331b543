"""uvicorn's HTTP/1.1 protocol with what it lacks for a server that faces any client."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from proxy_app.answer_head import line_of
from proxy_app.incoming import LINES, LINK, ClientLink, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. More is refused: a larger head only costs time."""

HEAD_SECONDS = 30.0
"""How long a client may take to send a request's head, from its connection or first byte on."""

READING_SECONDS = 60.0
"""How long a client may read nothing of an answer that waits for it, unless a setting says."""

_HEAD = b"HTTP/1."
"""How an answer's head begins. A body may, too, and loses nothing by waiting a turn."""

_COUNT = struct.Struct("i")

_OTHER_PROTOCOL = re.compile(rb"\r\nupgrade:(?![ \t]*websocket)[^\r\n]*", re.IGNORECASE)


class _Transport:
    """A transport that sends a head with what follows it at once, and takes no offence.

    An answer's head and body are written one after the other, and each write of its own costs
    a call of the system, here and at the client. A head waits until the loop's next turn at most.

    uvloop's raises when it is written to in the moment before it tells that the client left, and
    every client that leaves a stream could fill the log with tracebacks.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._head = b""
        # Every request asks for these; found here they are not looked for there.
        self.is_closing = transport.is_closing
        self._write = transport.write

    def write(self, data: bytes) -> None:
        if self.is_closing():
            return
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._soon(self._flush)
            return
        self._write(data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():
            self._write(head)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Cycle(RequestResponseCycle):
    """Writes the head from lines that are kept; uvicorn looks at every byte of it each time."""

    async def send(self, message: Any) -> None:
        if self.response_started or message["type"] != "http.response.start":
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        # Already now: after a header that cannot be sent, uvicorn hangs up.
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        parts, says_close = [STATUS_LINE[status]], False
        for header in (*self.default_headers, *message.get("headers", ())):
            line, heeded = line_of(header)
            parts.append(line)
            if heeded and self._heed(heeded, header[1]):
                says_close = True
        if not (self.keep_alive or says_close):
            parts.append(b"connection: close\r\n")
        if self.chunked_encoding is None and _has_body(self.scope["method"], status):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(message.get(LINES, b""))
        parts.append(b"\r\n")
        self.transport.write(b"".join(parts))

    def _heed(self, name: bytes, value: bytes) -> bool:
        """Whether it says that the connection ends. Of the body's length, the first word counts."""
        if name == b"connection":
            if b"close" not in [word.strip().lower() for word in value.split(b",")]:
                return False
            self.keep_alive = False
            return True
        if name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        return False


def _has_body(method: str, status: int) -> bool:
    return method != "HEAD" and status not in (204, 304)


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
    reading_limit: Callable[[], float] = staticmethod(lambda: READING_SECONDS)
    """Seconds a client may read nothing of what waits for it; 0 is for ever."""
    _reading_timer: asyncio.TimerHandle | None = None
    _cycles: tuple[RequestResponseCycle, ...] = ()
    """The request that is answered, and those that came behind it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self.loop)))
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        self._is_read_again()
        super().connection_lost(exc)
        self._tell_of_leaving()

    def _tell_of_leaving(self) -> None:
        """uvicorn tells the newest request alone, though one before it may be the one answered."""
        cycles, self._cycles = self._cycles, ()
        for cycle in cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                _link_of(cycle.scope).leave()

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        if self._begun and self._head_timer is None:
            self._limit_head()

    # ---- A client that does not read -----------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_timer is None:
            self._limit_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_read_again()

    def _limit_reading(self) -> None:
        seconds = self.reading_limit()
        if seconds > 0:
            unread = self._unread()
            self._reading_timer = self.loop.call_later(seconds, self._look_at_reader, unread)

    def _is_read_again(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _look_at_reader(self, before: int) -> None:
        """Hang up on a client that took nothing meanwhile: an engine works for it."""
        self._reading_timer = None
        if self._unread() < before:
            self._limit_reading()
        elif not self.transport.is_closing():
            logger.warning("A client read nothing of its answer for too long; it was hung up on.")
            self.transport.abort()

    def _unread(self) -> int:
        """Bytes that wait here and in the system for the client to take them."""
        waiting = int(self.transport.get_write_buffer_size())
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            waiting += _COUNT.unpack(
                fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
            )[0]
        return waiting

    # ---- The head ------------------------------------------------------------------------

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
        self._tell_of_leaving()
        return True

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes, self._begun = True, 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = self._begun = False
        self._head_is_here()
        parser = self.parser
        in_chunks = parser.get_http_version() == "1.1" and parser.get_method() != b"HEAD"
        link = ClientLink(self.flow, self.transport.write if in_chunks else None)
        cast(Scope, self.scope)[LINK] = link
        super().on_headers_complete()
        before = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles = (*before, self.cycle)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = _Cycle
        if cycle.scope["http_version"] != "1.1":
            app = partial(_in_one_piece, app, cycle)
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        _link_of(self.scope).whole = True
        super().on_message_complete()


async def _in_one_piece(
    app: Any, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
) -> None:
    """For a client of HTTP/1.0, which knows no chunks: its answer ends with the connection."""

    async def send_bare(message: Message) -> None:
        # uvicorn would write chunks, and counts the bytes against a length that is not known.
        cycle.chunked_encoding = False
        cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    await app(scope, receive, send_bare)


def _link_of(scope: Any) -> ClientLink:
    link: ClientLink = scope[LINK]
    return link


def _without_other_protocols(data: bytes) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    return _OTHER_PROTOCOL.sub(b"", head) + blank + body
