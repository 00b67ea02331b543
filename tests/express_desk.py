"""The gateway behind a real connection, with an engine that says what a test tells it to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from models_app import api_keys
from models_app.document import ConfigDocument, ModelEntry
from models_app.rights import EVERYTHING, Bounds, Rights, Scope
from proxy_app.accounting import Accounting
from proxy_app.engine_states import EngineState
from proxy_app.events import EventHub
from proxy_app.express import Express
from proxy_app.gateway import Gateway
from proxy_app.guards import GuardPool
from proxy_app.hosts import HostGuard
from proxy_app.http_protocol import Protocol
from proxy_app.journal import Journal
from proxy_app.key_guard import KeyGuard
from proxy_app.keys import Caller, Key, KeyRing, Keys
from proxy_app.ledger import Ledger
from proxy_app.limit_book import LimitBook
from proxy_app.limits import Limits
from proxy_app.lineup import line_up
from proxy_app.proxies import Network, TrustedProxies
from proxy_app.records import Line as Ended
from proxy_app.runner import Runner
from proxy_app.upstream import EnginePool
from tests.raw_server import Line, Script, raw_server, until

SECRET = "sk-express"
PATH = "/v1/chat/completions"
BODY = b'{"model":"fox","messages":[],"max_tokens":5}'
USAGE = b'{"usage":{"prompt_tokens":4,"completion_tokens":6}}'
FRIEND = b"https://friend.example"


LIMITS = Limits(1000, 10_000, 100_000, 1_000_000, 5)


def whole(body: bytes = USAGE, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    """An engine's answer."""
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status,
        more,
        len(body),
        body,
    )


def request(
    body: bytes = BODY,
    *,
    more: bytes = b"",
    key: str = SECRET,
    version: bytes = b"1.1",
    path: str = PATH,
) -> bytes:
    """A client's request."""
    return (
        b"POST %b HTTP/%b\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %b\r\n%bcontent-length: %d\r\n\r\n%b"
        % (path.encode(), version, key.encode(), more, len(body), body)
    )


class Client:
    """One connection to us."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, said: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(said)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return int(first.split()[1]), headers, body


class Desk:
    """What a test looks at."""

    def __init__(self, runner: Runner, book: LimitBook, accounting: Accounting) -> None:
        self.runner = runner
        self.book = book
        self.accounting = accounting
        self.state = ServerState()
        self.ended: list[Ended] = []
        accounting.charge = self._charge
        self.gateway = Gateway(runner, Path(), accounting, book=book)
        self.express = Express(runner, accounting, book, self._go_on)
        self.caller = Caller()
        self.gone_on = 0
        """Requests that began on the short way and needed a task."""
        self.address = ("", 0)
        self.clients: list[Client] = []

    def _charge(self, lines: list[Ended]) -> None:
        self.ended += lines
        self.book.charge(lines)

    async def _go_on(self, *trip: Any) -> None:
        self.gone_on += 1
        await self.gateway.go_on(*trip)

    @property
    def pool(self) -> EnginePool:
        """The connections to the engine."""
        pool = self.runner._engines["fox"].pool
        assert pool is not None
        return pool

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.address))
        self.clients.append(client)
        return client

    @property
    def is_clear(self) -> bool:
        """Whether everything that requests held was given back, exactly once."""
        accounts = self.book.accounts_of(self.caller)
        return (
            self.express.under_way == 0
            and self.runner.in_flight() == 0
            and not self.accounting.records.live
            and all(one.running == 0 and one.reserved == one.settling for one in accounts)
        )


@asynccontextmanager
async def desk(
    script: Script,
    folder: Path,
    *,
    limits: Limits | None = None,
    entry: ModelEntry | None = None,
    keep_alive: float = 75,
    proxies: Sequence[Network] = (),
    scopes: frozenset[Scope] = EVERYTHING,
    bounds: Bounds = (),
) -> AsyncIterator[Desk]:
    """A gateway whose one model, `fox`, is ready, with a connection to it open."""
    async with raw_server(script) as engine_server:
        runner = _runner(folder, entry or ModelEntry("fox", cmd="true"))
        pool = EnginePool("127.0.0.1", engine_server.port)
        one: Any = SimpleNamespace(
            pool=pool, state=EngineState.READY, spec=SimpleNamespace(api_key="", model_id="fox")
        )
        runner._engines["fox"] = one
        assert runner._scheduler.adopt("fox", time.monotonic())
        made = Desk(runner, LimitBook(), Accounting(Journal(folder / "journal"), EventHub()))
        rights = Rights(0, "laptop", scopes, bounds, key_id=1)
        made.caller = Caller("laptop", 1, rights, limits)
        pool._free(await pool._connect(pool.timeouts))
        server = await asyncio.get_running_loop().create_server(
            _protocol(made, keep_alive, proxies), "127.0.0.1", 0
        )
        made.address = server.sockets[0].getsockname()[:2]
        try:
            yield made
            await until(lambda: not made.state.tasks)
        finally:
            for client in made.clients:
                client.writer.transport.abort()
            await until(lambda: not made.state.connections)
            server.close()
            pool.close()
            made.accounting.close()
            await asyncio.sleep(0)


def _runner(folder: Path, entry: ModelEntry) -> Runner:
    async def no_descent(model: str, reason: str) -> bool:
        return False

    async def nothing(engine: Any, seconds: float) -> None:
        return None

    runner = Runner(
        folder, GuardPool(), Ledger(folder / "ledger"), lambda: None, no_descent, nothing
    )
    runner.apply(line_up(ConfigDocument(models={"fox": entry})))
    return runner


def _protocol(made: Desk, keep_alive: float, proxies: Sequence[Network]) -> Any:
    keys = Keys()
    digest = bytes.fromhex(api_keys.digest_of(SECRET))
    keys.ring = KeyRing.of(True, [Key(digest, made.caller)])
    guard = KeyGuard(made.gateway, keys, made.express.take)
    app: Any = HostGuard(guard, (), lambda: (FRIEND,))
    if proxies:
        app = TrustedProxies(app, proxies)
    config = uvicorn.Config(
        app, http=Protocol, lifespan="off", log_config=None, proxy_headers=False
    )
    config.load()
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    return lambda: Protocol(config, made.state, {})


async def says(line: Line) -> None:
    """An engine that answers."""
    while True:
        await line.request()
        await line.say(whole())
