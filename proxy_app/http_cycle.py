"""One request of HTTP/1.1 and its answer, as ASGI has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from proxy_app.answer_head import line_of
from proxy_app.client_transport import ClientTransport
from proxy_app.incoming import LINES, LINK, App, ClientLink, Message, Scope, Send

if TYPE_CHECKING:
    from proxy_app.http_protocol import Protocol

_ANY = -1
"""Of an answer whose length only its end tells."""


class Cycle(ClientLink, RequestResponseCycle):
    """Takes in a body, writes the answer; what a request needs no time for takes none.

    uvicorn looks at every byte of a head each time, and has a body that is here waited for.
    """

    flow: FlowControl
    access_log = False
    disconnected = response_started = response_complete = False
    more_body = True
    chunked_encoding: bool | None = None
    expected_content_length: int = 0
    body: bytes | bytearray = b""  # type: ignore[assignment]
    _news = False
    """Whether `receive` has something to tell."""
    _event: asyncio.Event | None = None
    _has_task = False

    def __init__(
        self,
        scope: Scope,
        connection: Protocol,
        *,
        in_chunks: bool,
        keep_alive: bool,
        expects_100: bool,
    ) -> None:
        """`in_chunks`: whether a body of any length can be sent, as ClientLink has it."""
        self.scope = cast(Any, scope)
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.default_headers = connection.server_state.default_headers
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_100
        self.on_response = connection.on_response_complete
        self._connection: Protocol | None = connection
        self._write = self.transport.write if in_chunks else None

    # ---- The request's body --------------------------------------------------------------

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """What uvicorn sets when the connection is lost: news for `receive`, which waits for it
        only if it must."""
        if self._event is None:
            self._event = asyncio.Event()
        self._news = True
        return self._event

    def add(self, piece: bytes) -> int:
        """A piece of the body has come. Bytes that wait to be taken."""
        if not self.body:
            self.body = piece
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += piece
        self._tell()
        return len(self.body)

    def end_of_body(self) -> None:
        """All of the request is here."""
        self.whole = True
        if not self.response_complete:
            self.more_body = False
            self._tell()

    def begin_task(self, app: App) -> asyncio.Task[None]:
        assert self._connection is not None
        self._has_task = True
        return self._connection.begin_task(self, app)

    def leave(self) -> None:
        self.disconnected = True
        self._tell()
        super().leave()
        if not self._has_task:
            self.part()

    def _tell(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()

    async def receive(self) -> Any:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete):
            self.flow.resume_reading()
            while not self._news:
                if self._event is None:
                    self._event = asyncio.Event()
                self._event.clear()
                await self._event.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    # ---- The answer ----------------------------------------------------------------------

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = "http.response.body" if self.response_started else "http.response.start"
        if message["type"] != kind or self.response_complete:
            raise RuntimeError(f"{message['type']} was sent where it has no place.")
        if self.response_started:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._begin(message)

    def _begin(self, message: Message) -> None:
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
        if self.chunked_encoding is None and _has_body(self.scope["method"], status):
            if self.scope["http_version"] == "1.1":
                self.chunked_encoding = True
                parts.append(b"transfer-encoding: chunked\r\n")
            else:  # It knows no chunks: the answer ends with the connection.
                self.keep_alive = False
                self.expected_content_length = _ANY
        if not (self.keep_alive or says_close):
            parts.append(b"connection: close\r\n")
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

    def answer(self, send: Send | None, lines: bytes, body: bytes) -> bool:
        if (send is not None and send != self.send) or self._write is None:
            return False
        if self.flow.write_paused or self.disconnected or self.response_started:
            return False
        head = [STATUS_LINE[200]]
        for header in self.default_headers:
            head.append(line_of(header)[0])
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"%bcontent-length: %d\r\n\r\n" % (lines, len(body)))
        head.append(body)
        self.waiting_for_100_continue = False
        self.response_started = True
        cast(ClientTransport, self.transport).write_whole(b"".join(head))
        self._complete()
        return True

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        else:
            self._count(len(body))
            self.transport.write(body)
        if not more:
            if self.expected_content_length > 0:
                raise RuntimeError("The answer is shorter than its head says.")
            self._complete()

    def _count(self, size: int) -> None:
        """Of an answer whose length was told. Raises RuntimeError when it is longer."""
        if self.expected_content_length != _ANY:
            if size > self.expected_content_length:
                raise RuntimeError("The answer is longer than its head says.")
            self.expected_content_length -= size

    def _complete(self) -> None:
        self.response_complete = True
        self._tell()
        ended = self.on_response
        if not self._has_task:
            self.part()
        if not self.keep_alive:
            self.transport.close()
        ended()

    def part(self) -> None:
        """Let go of what holds this one, when nobody looks at it any more.

        Only the garbage collector would free it else, with a body perhaps, and it seldom comes.
        """
        cast(Scope, self.scope).pop(LINK, None)
        self._connection = None
        self.on_response = _nothing


def _nothing() -> None:
    return None


def _has_body(method: str, status: int) -> bool:
    return method != "HEAD" and status not in (204, 304)
