"""What is written to a client: a head together with what follows it, and nothing once it left."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1."
"""How an answer's head begins. A body may, too, and loses nothing by waiting a turn."""


class ClientTransport:
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

    def write_whole(self, data: bytes) -> None:
        """A head with all that follows it."""
        if not self.is_closing():
            before, self._head = self._head, b""
            self._write(before + data if before else data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():
            self._write(head)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
