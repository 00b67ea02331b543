"""A server that says exactly what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from proxy_app.upstream import EnginePool, UpstreamResponse
from tests.fake_server import Engine, EngineProtocol

GUARD = 20
"""Seconds after which a hanging test is given up."""


class Line:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """The head of the next request, with the blank line. IncompleteReadError if none comes."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> bytes:
        """A whole request whose body, if any, is announced by a Content-Length."""
        head = await self.head()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.reader.readexactly(int(line.split(b":")[1]))
        return head

    async def say(self, *pieces: bytes) -> None:
        """Send the pieces, each in a packet of its own as far as that can be had."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def left(self) -> None:
        """Wait until the client has closed its end."""
        with suppress(ConnectionError):
            await self.reader.read()

    def reset(self) -> None:
        """Close without sending what is still buffered."""
        self.writer.transport.abort()


@dataclass
class RawServer:
    port: int
    lines: list[Line] = field(default_factory=list)
    """Every connection so far."""


Script = Callable[[Line], Awaitable[None]]


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[RawServer]:
    """Runs `script` for each connection, which is closed when the script returns."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(line: Line) -> None:
        try:
            await script(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The client left in the middle, which is what many tests are about.
        finally:
            line.writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        served.lines.append(line)
        task = asyncio.get_running_loop().create_task(talk(line))
        tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served = RawServer(server.sockets[0].getsockname()[1])
    try:
        async with asyncio.timeout(GUARD):
            yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


@asynccontextmanager
async def fake_engine() -> AsyncIterator[tuple[Engine, int]]:
    """The fake engine in this process, loaded, and its port."""
    engine = Engine("fake", loaded=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(EngineProtocol, engine), "127.0.0.1", 0)
    try:
        async with asyncio.timeout(GUARD):
            yield engine, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds; the guard around the server limits it."""
    while not condition():
        await asyncio.sleep(0.001)


def nothing_open(pool: EnginePool) -> bool:
    """Whether no exchange is under way."""
    return repr(pool).endswith((" 0 active, 0 idle>", " closed>"))


async def read(response: UpstreamResponse) -> AsyncIterator[bytes]:
    """The pieces of an answer, which is left at its end."""
    async with response:
        async for chunk in response:
            yield chunk
