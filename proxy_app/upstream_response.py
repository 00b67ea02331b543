"""An answer of an engine: its head, and a body that is read as it arrives.

A connection's parser fills it, its reader takes from it, and the two meet in one future, or by
`on_news` where nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Self

from proxy_app.errors import UpstreamGone

if TYPE_CHECKING:
    from proxy_app.upstream_connection import Connection

Headers = list[tuple[bytes, bytes]]

BUFFER_LIMIT = 256 * 1024
"""Bytes of an answer that wait for a slow reader before the engine is no longer read from.

One more read can come on top, which the event loop limits to 256 KiB."""


class UpstreamResponse:
    """An answer: its head, and a body read in the pieces that arrived, joined when several did.

    Read by one task, or by none (`whole`). Leaving it as a context manager closes the connection
    of an incomplete answer; a complete one has given its connection back by itself.
    """

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
        "_hand_on",
        "_sender",
        "_size",
        "_waiter",
        "complete",
        "headers",
        "on_news",
        "status",
    )

    def __init__(self, connection: Connection, on_news: Callable[[], None] | None) -> None:
        """`on_news` is called when there is something to know of it, see there."""
        self.status = 0
        """0 until the head has arrived."""
        self.headers: Headers = []
        """As received, names in lower case. `forwardable` leaves out what ends here."""
        self.complete = False
        """Whether all of the body has arrived; some of it may not have been read yet."""
        self._error: Exception | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._hand_on: Callable[[bytes], bool] | None = None
        self.on_news = on_news
        """Called once, the next time that there is more to know of it and nobody waits."""
        self._waiter: asyncio.Future[None] | None = None
        self._connection: Connection | None = connection
        self._sender: asyncio.Task[None] | None = None

    @property
    def at_end(self) -> bool:
        """Whether the body is complete and read to its end."""
        return self.complete and not self._chunks

    async def head(self) -> Self:
        """Wait for the head of the answer. Raises what became of it instead."""
        if not self.status and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except BaseException:
                self.close()
                raise
        if self._error is not None:
            raise self._error
        return self

    @property
    def whole(self) -> bytes:
        """The body if all of it is here and none of it was read yet; else nothing."""
        if not self.complete or self._error is not None:
            return b""
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def is_coming(self) -> bool:
        """Whether its head is here, and not yet all of its body."""
        return bool(self.status) and not self.complete and self._error is None

    async def read_chunk(self) -> bytes:
        """The next piece of the body as soon as there is one, `b""` at its end.

        Raises EngineDiedMidStream or UpstreamTimeout after everything that arrived was read.
        """
        if not self._chunks:
            await self._more()
        return self._take()

    def hand_on(self, taker: Callable[[bytes], bool]) -> None:
        """Give `taker` what arrives while `read_chunk` waits, without waking who reads.

        What it does not take, answering False, waits for the reader, and so does the last piece.
        """
        self._hand_on = taker

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            await self._more()
            if not self._chunks:
                raise StopAsyncIteration
        return self._take()

    def close(self) -> None:
        """Stop reading. Closes the connection unless the answer is complete."""
        if self._connection is not None:
            self._connection.fail(UpstreamGone("The answer was closed before its end."))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _more(self) -> None:
        """Wait until there is something to read or the body is complete."""
        while not self._chunks and not self.complete:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _take(self) -> bytes:
        chunks = self._chunks
        chunk = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._size > BUFFER_LIMIT and self._connection is not None:
            self._connection.resume_reading()
        self._size = 0
        return chunk

    def _is_handed_on(self) -> bool:
        """Whether all that is here was taken, so that nobody has to be woken."""
        if self._hand_on is None or self._waiter is None or not self._chunks:
            return False
        chunks = self._chunks
        if not self._hand_on(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
            return False
        chunks.clear()
        self._size = 0
        return True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        elif self.on_news is not None:
            tell, self.on_news = self.on_news, None
            tell()
