"""The client's side of a request: its body, and noticing that it left."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, Self

from proxy_app.errors import BodyTooLarge, RequestTimeout

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 128 * 1024 * 1024
"""Longest request body unless a setting says otherwise; images travel in it as base64."""

STALL_SECONDS = 60.0
"""How long a client may pause inside a body."""

WATCH_AFTER = 0.004
"""Seconds until a request without a link is watched for its client leaving. Answers that come
faster do not pay for the watching; waiting longer than this is no loss to an engine."""


LINK = "claracore.link"
"""Where a request's scope holds its ClientLink; servers other than ours give none."""


LINES = "claracore.lines"
"""Where the beginning of an answer holds lines of its head that are written already: bytes, each
line with its end. For requests with a ClientLink alone."""


class ClientLeft(Exception):
    """The client closed the connection before it had sent its whole request."""


class Flow(Protocol):
    """Whether a client takes what is written to it."""

    write_paused: bool


class ClientLink(ABC):
    """What the connection knows of a request before ASGI tells whoever waits for it."""

    whole = False
    """All of the request is here."""
    gone = False
    """The client left."""
    on_leave: Callable[[], None] | None = None
    """Called when it leaves."""
    body: bytes | bytearray = b""
    """What has come of the request's body and was not taken yet."""
    flow: Flow
    _write: Callable[[bytes], None] | None

    def __init__(self, flow: Flow, write: Callable[[bytes], None] | None) -> None:
        """`write` takes bytes for the client; None where an answer cannot come in chunks."""
        self.flow = flow
        self._write = write

    def pass_on(self, piece: bytes) -> bool:
        """Write a piece of a body that is being sent in chunks, past ASGI.

        False when it was not: the client is behind or gone, or cannot take chunks.
        """
        if self._write is None or self.flow.write_paused or self.gone:
            return False
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    @abstractmethod
    def answer(self, send: Send | None, lines: bytes, body: bytes) -> bool:
        """Write a whole answer, 200, past ASGI, with these lines of its head and its length.

        False when it was not, and has to be sent: the client is behind or gone, or `send` is not
        the connection's own, so that somebody adds to what goes through it. None is the own.
        """

    @abstractmethod
    def begin_task(self, app: App) -> asyncio.Task[None]:
        """Have `app` answer, as it answers a request that nobody has taken."""

    def leave(self) -> None:
        """The client left."""
        self.gone = True
        if self.on_leave is not None:
            self.on_leave()


Take = Callable[[Scope, ClientLink], bool]
"""Answers a request that needs no task of its own; False when it has to go the long way, and then
nothing was done (`express.py`)."""


def take_nothing(scope: Scope, link: ClientLink) -> bool:
    """Where every request has a task."""
    return False


async def read_body(scope: Scope, receive: Receive, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole request body. Raises BodyTooLarge, RequestTimeout or ClientLeft.

    With a link that says all of it is here, no time is spent on limiting the wait for it.
    """
    link: ClientLink | None = scope.get(LINK)
    if link and link.whole:
        message = _checked(await receive())
    else:
        _check_announced(scope, limit)
        message = await _next(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise BodyTooLarge(limit)
        return body
    pieces = [body, *[piece async for piece in _pieces_after(message, receive, limit)]]
    return b"".join(pieces)


async def body_pieces(
    scope: Scope, receive: Receive, limit: int = MAX_BODY_BYTES
) -> AsyncIterator[bytes]:
    """The request body as it arrives, none of it kept. Raises as `read_body`."""
    _check_announced(scope, limit)
    message = await _next(receive)
    yield message.get("body", b"")
    async for piece in _pieces_after(message, receive, limit):
        yield piece


def _check_announced(scope: Scope, limit: int) -> None:
    """Before any of it is asked for: a client may wait with it for `100 Continue`."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise BodyTooLarge(limit)


async def _pieces_after(message: Message, receive: Receive, limit: int) -> AsyncIterator[bytes]:
    size = len(message.get("body", b""))
    while True:
        if size > limit:
            raise BodyTooLarge(limit)
        if not message.get("more_body", False):
            return
        message = await _next(receive)
        piece = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            yield piece


async def _next(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(STALL_SECONDS) as limit:
            message = await receive()
    except TimeoutError:
        if not limit.expired():
            raise
        raise RequestTimeout(STALL_SECONDS) from None
    return _checked(message)


def _checked(message: Message) -> Message:
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message


class ClientWatch:
    """Cancels the work inside the `with` block when the client leaves.

    The block ends as if nothing had happened; `left` tells. Everything the block holds is
    given back on the way out, which is what stops the engine's work. A `link` costs nothing
    until the client leaves; without one somebody has to wait for that.
    """

    __slots__ = ("_link", "_receive", "_task", "_timer", "_watcher", "left")

    def __init__(self, receive: Receive, link: ClientLink | None = None) -> None:
        self._receive = receive
        self._link = link
        self._timer: asyncio.Handle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        if self._link is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._begin)
        elif self._link.gone:
            self._timer = asyncio.get_running_loop().call_soon(self._leave)
        else:
            self._link.on_leave = self._leave
        return self

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(
            self._watch(), name="watch for the client leaving"
        )

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.left = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._link is not None:
            self._link.on_leave = None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        # Only our own cancellation ends here; the server's must go on.
        return self.left and kind is asyncio.CancelledError and self._task.uncancel() == 0
