"""Many log lines to many listeners: everybody gets every line, in order."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server import RunningServer, running_server

LISTENERS = 20
A_SECOND = 2000
SECONDS = 3
LINES = A_SECOND * SECONDS
BUNCH = 100
END = b"flood line %06d" % (LINES - 1)
NUMBER = re.compile(rb"flood line (\d{6})")
LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(arguments=["--no-worker"]) as running:
        yield running


def write_lines(log: Path) -> None:
    """As an engine would that says a lot."""
    due = time.monotonic()
    with log.open("a", buffering=1) as file:
        for first in range(0, LINES, BUNCH):
            file.writelines(f"flood line {first + n:06d} {'x' * 40}\n" for n in range(BUNCH))
            due += BUNCH / A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))


async def listen(host: str, port: int, begun: asyncio.Semaphore) -> list[int]:
    """The numbers of all lines heard, as they came."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    heard = bytearray()
    while b'"type":"queue"' not in heard:
        heard += await reader.read(65536)
    begun.release()
    while END not in heard:
        piece = await reader.read(1 << 20)
        assert piece, "the stream ended"
        heard += piece
    writer.close()
    # Pieces of the transport may stand inside a line; they are taken out before.
    text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", bytes(heard))
    return [int(number) for number in NUMBER.findall(text)]


async def everybody(server: RunningServer) -> list[list[int]]:
    place = urlsplit(server.url)
    assert place.hostname is not None and place.port is not None
    begun = asyncio.Semaphore(0)
    tasks = [
        asyncio.create_task(listen(place.hostname, place.port, begun)) for _ in range(LISTENERS)
    ]
    for _ in range(LISTENERS):
        await begun.acquire()
    folder = server.home / "logs" / "engines"
    folder.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=write_lines, args=(folder / "loud.log",), daemon=True).start()
    return await asyncio.gather(*tasks)


def test_nobody_misses_a_line_of_two_thousand_a_second(server: RunningServer) -> None:
    """The first implementation dropped messages for listeners with 25 of them waiting."""

    async def bounded() -> list[list[int]]:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await everybody(server)

    for heard in asyncio.run(bounded()):
        assert heard == list(range(LINES))
