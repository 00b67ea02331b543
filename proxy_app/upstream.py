"""HTTP/1.1 to an engine: kept connections, one exchange at a time on each.

    async with await pool.request(b"POST", b"/v1/completions", headers, body) as response:
        async for chunk in response:
            ...

Leaving the block early closes the connection, which makes llama-server stop generating. Redirects
are passed on like any other answer, and nothing is decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import suppress

from proxy_app.errors import EngineNotReached, InvalidRequest, UpstreamGone, UpstreamTimeout
from proxy_app.upstream_connection import (
    Connection,
    StaleConnection,
    UpstreamTimeouts,
)
from proxy_app.upstream_response import Headers, UpstreamResponse

__all__ = [
    "HOP_BY_HOP",
    "NAMES_NOTHING",
    "EnginePool",
    "StaleConnection",
    "UpstreamResponse",
    "UpstreamTimeouts",
    "forwardable",
]

IDLE_LIMIT = 64
"""How many unused connections are kept; more than that many at once are rare in a home or lab."""

COPY_LIMIT = 65536
"""Up to this many bytes a body is copied behind its head, to leave in one write."""

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

_STOPPED = "The engine was stopped."

NAMES_NOTHING = frozenset((b"keep-alive", b"close"))

_WRITTEN_HERE = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def forwardable(headers: Headers, without: frozenset[bytes] = frozenset()) -> Headers:
    """The headers that concern both ends, without those that end at a proxy. Names in lower case.

    What a `Connection` header names is left out too (RFC 9110, 7.6.1), and what is in `without`.
    """
    kept: Headers = []
    named: set[bytes] = set()
    for pair in headers:
        name = pair[0]
        if name in HOP_BY_HOP:
            if name == b"connection" and pair[1].lower() not in NAMES_NOTHING:
                named.update(token.strip().lower() for token in pair[1].split(b","))
        elif name not in without:
            kept.append(pair)
    return [pair for pair in kept if pair[0] not in named] if named else kept


class EnginePool:
    """The connections to one engine, the one used last taken first."""

    def __init__(self, host: str, port: int, timeouts: UpstreamTimeouts | None = None) -> None:
        self.host = host
        self.port = port
        self.timeouts = timeouts or UpstreamTimeouts()
        self.closed = False
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._host_line = b"host: %b:%d" % (host.encode(), port)

    def __repr__(self) -> str:
        idle = len(self._idle)
        state = "closed" if self.closed else f"{len(self._open) - idle} active, {idle} idle"
        return f"<EnginePool {self.host}:{self.port} {state}>"

    @property
    def has_idle(self) -> bool:
        """Whether a connection is open and free."""
        return bool(self._idle)

    async def request(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | None = None,
        timeouts: UpstreamTimeouts | None = None,
        *,
        without: frozenset[bytes] = frozenset(),
        lines: Sequence[bytes] = (),
        anew: bool = False,
    ) -> UpstreamResponse:
        """Send a request; returns when the head of its answer has arrived.

        Of `headers` goes what `forwardable` leaves of them; `Host` and `Content-Length` are written
        here. `lines` are more of the head, as they are written, without their ends.
        `timeouts` are those of this request; None the pool's own.
        A kept connection that the engine had closed already is replaced once; `anew` uses none.
        Raises UpstreamGone (also for an answer whose beginning already broke off; EngineNotReached
        when nothing was sent), UpstreamTimeout, or InvalidRequest when this cannot be written as
        HTTP.
        """
        if self.closed:
            raise EngineNotReached(_STOPPED)
        timeouts = timeouts or self.timeouts
        message = self._message(method, target, headers, body, without, lines)
        if self._idle and not anew:
            with suppress(StaleConnection):
                return await self._idle.pop().ask(timeouts, method, *message).head()
            try:
                connection = await self._connect(timeouts)
            except EngineNotReached as error:
                # It may have died of this very request.
                raise UpstreamGone(error.message) from error
        else:
            connection = await self._connect(timeouts)
        return await connection.ask(timeouts, method, *message).head()

    def ask(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes,
        timeouts: UpstreamTimeouts,
        on_news: Callable[[], None],
        without: frozenset[bytes],
        lines: Sequence[bytes],
    ) -> UpstreamResponse | None:
        """As `request` over a kept connection, waiting for nothing; None when there is none.

        `on_news` is called once, unless it is set again, when there is something to know of the
        answer: its head, perhaps all of it, or its end (StaleConnection, when the engine had closed
        the connection already). Raises InvalidRequest.
        """
        if not self._idle or self.closed:
            return None
        message = self._message(method, target, headers, body, without, lines)
        return self._idle.pop().ask(timeouts, method, *message, on_news=on_news)

    def _message(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        without: frozenset[bytes],
        lines: Sequence[bytes],
    ) -> tuple[bytes, ...]:
        """A whole request in as few pieces as it is written in."""
        if body is None:
            return (self._head(method, target, headers, without, *lines),)
        length = b"content-length: %d" % len(body)
        head = self._head(method, target, headers, without, *lines, length)
        return (head, body) if len(body) > COPY_LIMIT else (head + body,)

    async def upload(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: AsyncIterable[bytes],
        length: int | None = None,
        timeouts: UpstreamTimeouts | None = None,
        *,
        without: frozenset[bytes] = frozenset(),
        lines: Sequence[bytes] = (),
    ) -> UpstreamResponse:
        """As `request`, with a body sent piece by piece, no faster than the engine takes it.

        Without its `length` in bytes it goes in chunked transfer encoding. An error that `body`
        raises is raised here, or from the answer if that has begun. The connection is a new one,
        since a body that was partly sent cannot be sent again.
        """
        if self.closed:
            raise EngineNotReached(_STOPPED)
        framing = (
            b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        )
        head = self._head(method, target, headers, without, *lines, framing)
        timeouts = timeouts or self.timeouts
        connection = await self._connect(timeouts)
        return await connection.upload(timeouts, method, head, body, length)

    def close(self) -> None:
        """Cut every connection at once; whoever waits on one gets UpstreamGone, as do newcomers."""
        self.closed = True
        for connection in list(self._open):
            connection.fail(UpstreamGone(_STOPPED))

    def _head(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        without: frozenset[bytes],
        *lines: bytes,
    ) -> bytes:
        head = [b"%b %b HTTP/1.1" % (method, target), self._host_line]
        # `forwardable` would do for all of it, but this is on every request's way.
        for pair in headers:
            name = pair[0]
            if name not in _WRITTEN_HERE:
                if name not in without:
                    head.append(b": ".join(pair))
            elif name == b"connection" and pair[1].lower() not in NAMES_NOTHING:
                return self._head(method, target, forwardable(headers), without, *lines)
        head += lines
        head.append(b"\r\n")
        text = b"\r\n".join(head)
        # A line break inside a value would let a client write headers, or a whole second request.
        breaks = len(head)
        if text.count(b"\n") != breaks or text.count(b"\r") != breaks or b" " in target:
            raise InvalidRequest("The path or a header holds a space or a line break.")
        return text

    async def _connect(self, timeouts: UpstreamTimeouts) -> Connection:
        try:
            async with asyncio.timeout(timeouts.connect) as limit:
                _, connection = await asyncio.get_running_loop().create_connection(
                    self._new_connection, self.host, self.port
                )
        except TimeoutError as error:
            if not limit.expired():
                raise self._unreachable(error) from error
            raise UpstreamTimeout("accept a connection", timeouts.connect or 0) from error
        except OSError as error:
            raise self._unreachable(error) from error
        if connection.ended:
            raise self._unreachable("it hung up")
        if self.closed:
            connection.close()
            raise EngineNotReached(_STOPPED)
        self._open.add(connection)
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._free, self._lost)

    def _free(self, connection: Connection) -> None:
        if len(self._idle) < IDLE_LIMIT:
            self._idle.append(connection)
        else:
            connection.close()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _unreachable(self, reason: object) -> EngineNotReached:
        return EngineNotReached(
            f"The engine at {self.host}:{self.port} cannot be reached: {reason}."
        )
