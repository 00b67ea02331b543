"""One connection to an engine.

It carries one exchange at a time and is free for the next as soon as the answer is complete, even
when its reader has not taken all of it yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from proxy_app.errors import EngineDiedMidStream, InvalidRequest, UpstreamGone, UpstreamTimeout
from proxy_app.upstream_response import BUFFER_LIMIT, Headers, UpstreamResponse

HEAD_LIMIT = 128 * 1024
"""The longest head of an answer, in bytes; interim answers (1xx) before it are counted in."""


@dataclass(frozen=True)
class UpstreamTimeouts:
    """Limits in seconds, one for each phase; None is no limit. There is none for the whole."""

    connect: float | None = 5
    """Until the engine accepts the connection."""
    first_byte: float | None = None
    """From the end of the request to the head of the answer; reading a long prompt is in here."""
    between_chunks: float | None = None
    """The longest silence inside an answer. Time in which the reader is behind does not count."""


class StaleConnection(UpstreamGone):
    """A kept connection was closed by the engine before a byte of this answer arrived."""


class Connection(asyncio.Protocol):
    """A connection to an engine.

    `free` is called when it can carry another exchange, `lost` when it no longer can (at least
    once, so it must not count).
    """

    def __init__(
        self,
        free: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = UpstreamTimeouts()
        self._free = free
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._response: UpstreamResponse | None = None
        self._headers: Headers = []
        self._head_only = False
        self._head_size = 0
        self._reused = False
        self.ended = False
        self._drained: asyncio.Future[None] | None = None
        self._phase = ""
        self._limit = 0.0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ---- Exchanges -----------------------------------------------------------------------

    def ask(
        self,
        timeouts: UpstreamTimeouts,
        method: bytes,
        *message: bytes,
        on_news: Callable[[], None] | None = None,
    ) -> UpstreamResponse:
        """Send a whole request; of the answer nothing is here yet.

        `on_news` is called once, when the answer or something else has come.
        """
        response = self._begin(timeouts, method, on_news)
        for part in message:
            self._transport.write(part)
        self._watch(timeouts.first_byte, "answer")
        return response

    async def upload(
        self,
        timeouts: UpstreamTimeouts,
        method: bytes,
        head: bytes,
        body: AsyncIterable[bytes],
        length: int | None,
    ) -> UpstreamResponse:
        """Send a request whose body is still arriving; the answer may begin before its end."""
        response = self._begin(timeouts, method, None)
        self._transport.write(head)
        sender = self._loop.create_task(self._send(body, length), name="upload to an engine")
        sender.add_done_callback(self._sent)
        response._sender = sender
        try:
            return await response.head()
        except BaseException:
            await asyncio.wait([sender])
            raise

    def _begin(
        self, timeouts: UpstreamTimeouts, method: bytes, on_news: Callable[[], None] | None
    ) -> UpstreamResponse:
        self._timeouts = timeouts
        response = UpstreamResponse(self, on_news)
        self._response = response
        self._headers = []
        self._head_only = method == b"HEAD"
        self._head_size = 0
        return response

    async def _send(self, body: AsyncIterable[bytes], length: int | None) -> None:
        sent = 0
        async for piece in body:
            if piece:
                sent += len(piece)
                if length is None:
                    piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                elif sent > length:
                    break
                self._transport.write(piece)
            if self._drained is not None:
                self._watch_sending("take the request")
                await self._drained
                self._watch_sending(None)
        if length is None:
            self._transport.write(b"0\r\n\r\n")
        elif sent != length:
            # Anything else would leave the engine waiting, or reading a second request from it.
            raise InvalidRequest("The request body is not as long as its Content-Length says.")
        self._watch_sending("answer")

    def _watch_sending(self, phase: str | None) -> None:
        """Time the engine while it owes us something; waiting for the client is not its fault."""
        if self._response is not None and not self._response.status:
            self._watch(self._timeouts.first_byte if phase else None, phase or "")

    def _sent(self, sender: asyncio.Task[None]) -> None:
        if not sender.cancelled():
            error = sender.exception()
            if isinstance(error, Exception):
                self.fail(error)

    def fail(self, error: Exception) -> None:
        """Close the connection; who waits for its answer gets `error`."""
        response, self._response = self._response, None
        if response is not None:
            response._error = error
            response._connection = None
            if response._sender is not None:
                response._sender.cancel()
            response._wake()
        self.close()

    def _finish(self, response: UpstreamResponse, reusable: bool) -> None:
        response.complete = True
        response._connection = None
        self._response = None
        self._deadline = None
        sender = response._sender
        # An engine that answered without taking the whole request cannot be sent another.
        if sender is not None and not sender.done():
            sender.cancel()
            reusable = False
        if self._transport.get_write_buffer_size():
            reusable = False
        if reusable:
            self._reused = True
            self._free(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once, without a word to who waits for the answer."""
        self.ended = True
        self._lost(self)
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()

    def _gone(self, what: str) -> UpstreamGone:
        if self._response is not None and self._response.status:
            return EngineDiedMidStream(f"{what} in the middle of its answer.")
        return UpstreamGone(f"{what} before it answered.")

    # ---- What the transport calls --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            # Bytes that answer no request: whatever follows them could be taken for an answer.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(self._gone(f"The engine broke the HTTP protocol ({error})"))
            response._wake()
            return
        if not response.status:
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self.fail(self._gone(f"The engine sent more than {HEAD_LIMIT} bytes of headers"))
            return
        if not response.complete:
            if response._size > BUFFER_LIMIT:
                self._transport.pause_reading()
                self._deadline = None
            else:
                self._watch(self._timeouts.between_chunks, "continue its answer")
                if response._is_handed_on():
                    return
        response._wake()

    def resume_reading(self) -> None:
        """The reader has caught up."""
        self._transport.resume_reading()
        self._watch(self._timeouts.between_chunks, "continue its answer")

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.resume_writing()
        response = self._response
        if response is None:
            self.close()
        elif exc is None and response.status and not _has_length(response.headers):
            self._finish(response, reusable=False)
            response._wake()
        elif self._reused and not response.status and not self._head_size:
            self.fail(StaleConnection("The engine closed a kept connection."))
        else:
            self.fail(self._gone("The engine closed the connection"))
        # It holds our methods and we hold it; without this only the garbage collector frees both.
        del self._parser

    # ---- What the parser calls -----------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._response is None:
            raise UpstreamGone("The engine sent an answer nobody asked for.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        response = self._response
        if status < 200 or response is None:
            return
        response.status = status
        response.headers = headers
        if self._head_only:
            # The parser would wait for the body that Content-Length announces.
            self._finish(response, reusable=False)

    def on_body(self, data: bytes) -> None:
        response = self._response
        if response is not None:
            response._chunks.append(data)
            response._size += len(data)

    def on_message_complete(self) -> None:
        response = self._response
        if response is not None and response.status:
            self._finish(response, self._parser.should_keep_alive())

    # ---- Time ----------------------------------------------------------------------------

    def _watch(self, limit: float | None, phase: str = "") -> None:
        """Let the engine be silent for `limit` seconds from now.

        The timer is left running when the deadline moves on, and looks again when it fires:
        setting one for each chunk would cost more than the chunk.
        """
        if limit is None:
            self._deadline = None
            return
        self._limit, self._phase = limit, phase
        self._deadline = self._loop.time() + limit
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer(self._deadline)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self.fail(UpstreamTimeout(self._phase, self._limit))


def _has_length(headers: Headers) -> bool:
    """Whether the body says where it ends; otherwise it ends with the connection."""
    return any(
        name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower())
        for name, value in headers
    )
