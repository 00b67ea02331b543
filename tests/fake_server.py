"""The fake engine's HTTP side, fast enough to benchmark a proxy with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, cast

import httptools

from tests import fake_replies
from tests.fake_replies import CHUNK_END, Faults, Voice

INFERENCE = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/completion")


@dataclass
class Stats:
    """What `GET /fake/stats` answers. Its own requests and those to `/health` are not counted."""

    requests: int = 0
    aborted: int = 0
    """Requests whose client left before the answer was complete."""
    in_flight: int = 0
    peak: int = 0
    connections: int = 0
    """How many connections were ever opened."""
    pid: int = field(default_factory=os.getpid)


@dataclass
class Engine:
    """What all connections of one fake engine share."""

    name: str
    defaults: Faults = field(default_factory=Faults)
    loaded: bool = False
    health_status: int = 200
    keep_alive_max: int = 0
    """Requests a connection may carry, llama-server takes 100; 0 means any number."""
    keep_alive_timeout: float = 0
    """Seconds an idle connection is kept, llama-server keeps it 5 s; 0 means for ever."""
    stats: Stats = field(default_factory=Stats)
    on_idle: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.voice = Voice(self.name)
        self.plain = self.defaults == Faults()
        self.canned = self.voice.whole("/v1/chat/completions", Faults())

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.stats.in_flight += 1
        self.stats.peak = max(self.stats.peak, self.stats.in_flight)
        try:
            yield
        finally:
            self.stats.in_flight -= 1
            if self.on_idle is not None and not self.stats.in_flight:
                self.on_idle()


class EngineProtocol(asyncio.Protocol):
    """One connection. Requests are answered in turn; a client that leaves ends its answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._served = 0
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._engine.stats.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._engine.stats.aborted += 1
            self._task.cancel()
        if self._idle is not None:
            self._idle.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._target = b""
        self._body: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if (b"expect", b"100-continue") in self._headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        body = b"".join(self._body)
        engine = self._engine
        if (
            self._target == b"/v1/chat/completions"
            and engine.loaded
            and engine.plain
            and b'"stream"' not in body
            and b'"fake"' not in body
        ):
            # The way benchmarks go: nothing but counting and one write.
            engine.stats.requests += 1
            engine.stats.peak = engine.stats.peak or 1
            self._transport.write(engine.canned)
            self._end_of_answer()
        else:
            self._route(self._target.decode("latin-1").partition("?")[0], body)

    def _route(self, path: str, body: bytes) -> None:
        engine = self._engine
        if path == "/fake/stats":
            self._reply(fake_replies.json_reply(200, asdict(engine.stats)))
        elif path == "/fake/echo":
            self._reply(self._echo(body))
        elif path == "/health" and engine.loaded:
            self._reply(self._health())
        elif not engine.loaded:
            self._reply(fake_replies.error_reply(503, "Loading model", "unavailable_error"))
        elif path in INFERENCE:
            engine.stats.requests += 1
            self._task = self._loop.create_task(self._infer(path, body), name=f"answer {path}")
        else:
            engine.stats.requests += 1
            self._reply(self._small_page(path))

    def _health(self) -> bytes:
        if self._engine.health_status != 200:
            status = self._engine.health_status
            return fake_replies.error_reply(status, "Not well", "unavailable_error")
        return fake_replies.json_reply(200, {"status": "ok"})

    def _echo(self, body: bytes) -> bytes:
        """Tells how the request arrived."""
        return fake_replies.json_reply(
            200,
            {
                "method": self._parser.get_method().decode(),
                "target": self._target.decode("latin-1"),
                "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in self._headers],
                "length": len(body),
                "sha256": sha256(body).hexdigest(),
            },
        )

    def _small_page(self, path: str) -> bytes:
        name, busy = self._engine.name, self._engine.stats.in_flight > 0
        pages: dict[str, Any] = {
            "/": {"fake": name},
            "/v1/models": {"object": "list", "data": [{"id": name, "object": "model"}]},
            "/props": {"model_alias": name, "total_slots": 4, "build_info": "fake"},
            "/slots": [{"id": 0, "n_ctx": 4096, "is_processing": busy}],
        }
        if path not in pages:
            return fake_replies.error_reply(404, "File Not Found", "not_found_error")
        return fake_replies.json_reply(200, pages[path])

    def _reply(self, reply: bytes) -> None:
        if self._parser.get_method() == b"HEAD":
            reply = reply[: reply.index(b"\r\n\r\n") + 4]
        self._transport.write(reply)
        self._end_of_answer()

    def _end_of_answer(self) -> None:
        self._task = None
        self._served += 1
        if self._served == self._engine.keep_alive_max:
            self._transport.close()
        elif self._engine.keep_alive_timeout:
            self._idle = self._loop.call_later(
                self._engine.keep_alive_timeout, self._transport.close
            )

    def _read(self, body: bytes) -> tuple[Faults, bool]:
        """The request's faults, and whether it asks for a stream."""
        request = json.loads(body)
        faults = self._engine.defaults
        header = dict(self._headers).get(b"x-fake")
        if header is not None:
            faults = Faults.read(json.loads(header))
        if "fake" in request:
            faults = Faults.read(request["fake"])
        return faults, request.get("stream") is True

    async def _infer(self, path: str, body: bytes) -> None:
        with self._engine.busy():
            try:
                faults, stream = self._read(body)
            except (ValueError, AttributeError) as error:
                self._reply(fake_replies.error_reply(500, str(error), "server_error"))
                return
            await asyncio.sleep(faults.first)
            if faults.never:
                await self._loop.create_future()
            elif faults.status != 200:
                self._reply(fake_replies.error_reply(faults.status, "as asked", "server_error"))
            elif stream:
                await self._stream(path, faults)
            else:
                await self._whole(path, faults)

    async def _whole(self, path: str, faults: Faults) -> None:
        reply = self._engine.voice.whole(path, faults)
        if faults.die_after is not None or faults.cut_after is not None:
            self._transport.write(reply[: len(reply) // 2])
            await self._break_off(faults)
            return
        for start in range(0, len(reply), 65536):
            await self._writable.wait()
            self._transport.write(reply[start : start + 65536])
        self._end_of_answer()

    async def _stream(self, path: str, faults: Faults) -> None:
        voice = self._engine.voice
        self._transport.write(fake_replies.head(200, "text/event-stream", None))
        due = self._loop.time()
        count = 0
        for piece in voice.pieces(faults):
            if count in (faults.die_after, faults.cut_after):
                await self._break_off(faults)
                return
            await self._writable.wait()
            self._transport.write(fake_replies.frame(voice.event(path, piece, faults)))
            count += 1
            due += faults.drip
            await asyncio.sleep(due - self._loop.time())
        self._transport.write(fake_replies.frame(voice.last_events(path, count)) + CHUNK_END)
        self._end_of_answer()

    async def _break_off(self, faults: Faults) -> None:
        """Let what was written leave, then die or cut the connection."""
        self._transport.set_write_buffer_limits(high=0)
        await self._writable.wait()
        if faults.die_after is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        self._task = None
        self._transport.close()
