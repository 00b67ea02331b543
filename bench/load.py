"""Many streams at once, and how long each chunk took from the engine's write to our read.

    python -m bench.load http://127.0.0.1:5800 --streams 256 --rate 50 --seconds 5

Prints a line when it begins, and one JSON object at its end. Only the fake engine stamps its chunks
with the time they were sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.targets import CHAT, chat_body

STAMP = re.compile(rb'"sent":(\d+)\}')
END = b"0\r\n\r\n"
BEGUN = "begun"
"""Said before the first stream: whoever is to be there meanwhile starts now."""


class Stream(asyncio.Protocol):
    """One streaming request; collects the delay of each chunk in nanoseconds."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.delays: list[int] = []
        self.whole = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._rest:
            data = self._rest + data
        end = 0
        for stamp in STAMP.finditer(data):
            self.delays.append(now - int(stamp[1]))
            end = stamp.end()
        self._rest = data[end:]
        if self._rest.endswith(END):
            self.whole = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def request_for(host: str, chunks: int, rate: float, key: str) -> bytes:
    body = chat_body(stream=True, fake={"chunks": chunks, "drip": 1 / rate}).encode()
    return (
        f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def run(
    url: str, count: int, rate: float, seconds: float, key: str = "none"
) -> dict[str, float]:
    """Measure `count` streams; times in milliseconds. The first second is for getting going."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 80
    chunks = int(rate * seconds)
    request = request_for(place.netloc, chunks, rate, key)
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    for _ in range(count):
        _, stream = await loop.create_connection(lambda: Stream(request), host, port)
        streams.append(stream)
        # Spread over one interval, as people would be, instead of all chunks in one burst.
        await asyncio.sleep(1 / rate / count)
    await asyncio.gather(*(stream.done for stream in streams))
    settled = int(rate)
    delays = [delay / 1e6 for stream in streams for delay in stream.delays[settled:]]
    cuts = statistics.quantiles(delays, n=1000)
    return {
        "p50": cuts[499],
        "p99": cuts[989],
        "p999": cuts[998],
        "max": max(delays),
        "chunks": sum(len(stream.delays) for stream in streams),
        "lost": count * chunks - sum(len(stream.delays) for stream in streams),
        "cut": sum(not stream.whole for stream in streams),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--rate", type=float, default=50, help="chunks a second and stream")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--key", default="none", help="the API key to send")
    options = parser.parse_args()
    work = run(options.url, options.streams, options.rate, options.seconds, options.key)
    print(BEGUN, flush=True)
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
