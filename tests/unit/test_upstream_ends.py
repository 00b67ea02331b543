"""How an exchange ends before its answer does: silence, leaving, stopping."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from proxy_app.errors import UpstreamGone, UpstreamTimeout
from proxy_app.upstream import EnginePool, UpstreamTimeouts
from tests.fake_server import Engine
from tests.raw_server import Line, fake_engine, nothing_open, raw_server, read, until

EVERY_LOOP = True

CHAT = b"/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\n"
NEVER = json.dumps({"fake": {"never": True}}).encode()
ENDLESS = json.dumps({"stream": True, "fake": {"chunks": 100_000, "drip": 0.01}}).encode()


@pytest.fixture
async def served() -> AsyncIterator[tuple[Engine, EnginePool]]:
    async with fake_engine() as (engine, port):
        pool = EnginePool("127.0.0.1", port)
        yield engine, pool
        pool.close()


# ---- Silence -----------------------------------------------------------------------------


async def test_an_engine_that_never_answers_runs_into_its_limit(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    pool.timeouts = UpstreamTimeouts(first_byte=0.05)
    with pytest.raises(UpstreamTimeout, match=r"did not answer within 0\.05 s"):
        await pool.request(b"POST", CHAT, [], NEVER)
    assert nothing_open(pool)
    await until(lambda: engine.stats.aborted == 1)


async def test_silence_inside_an_answer_runs_into_its_limit(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    pool.timeouts = UpstreamTimeouts(first_byte=60, between_chunks=0.05)
    body = json.dumps({"stream": True, "fake": {"chunks": 2, "drip": 60}}).encode()
    async with await pool.request(b"POST", CHAT, [], body) as response:
        assert await response.read_chunk()
        with pytest.raises(UpstreamTimeout, match="did not continue its answer"):
            await response.read_chunk()
    await until(lambda: engine.stats.aborted == 1)


async def test_a_steady_stream_may_last_longer_than_the_limit_for_its_silences(
    served: tuple[Engine, EnginePool],
) -> None:
    _, pool = served
    pool.timeouts = UpstreamTimeouts(first_byte=1, between_chunks=1)
    body = json.dumps({"stream": True, "fake": {"chunks": 15, "drip": 0.1}}).encode()
    chunks = [chunk async for chunk in read(await pool.request(b"POST", CHAT, [], body))]
    assert b"".join(chunks).endswith(b"[DONE]\n\n")


async def test_a_reader_that_is_behind_does_not_count_as_silence() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(OK + b"content-length: 8000000\r\n\r\n", b"x" * 8_000_000)
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port, UpstreamTimeouts(between_chunks=1))
        response = await pool.request(b"GET", b"/", [])
        await asyncio.sleep(1.5)
        assert sum([len(chunk) async for chunk in read(response)]) == 8_000_000


async def test_a_kept_connection_has_no_limit_while_it_is_idle(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    pool.timeouts = UpstreamTimeouts(first_byte=0.5, between_chunks=0.5)
    await pool.request(b"POST", CHAT, [], b"{}")
    await asyncio.sleep(0.6)
    await pool.request(b"POST", CHAT, [], b"{}")
    assert engine.stats.connections == 1


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of unaccepted connections is full, so that connecting hangs."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_connecting_runs_into_its_limit(full_port: int) -> None:
    pool = EnginePool("127.0.0.1", full_port, UpstreamTimeouts(connect=0.05))
    with pytest.raises(UpstreamTimeout, match="did not accept a connection"):
        await pool.request(b"GET", b"/", [])
    assert nothing_open(pool)


# ---- Leaving -----------------------------------------------------------------------------


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_connecting_nothing_stays_open(full_port: int) -> None:
    pool = EnginePool("127.0.0.1", full_port)
    task = asyncio.create_task(pool.request(b"GET", b"/", []))
    await asyncio.sleep(0.02)
    await cancel(task)
    assert nothing_open(pool)


async def test_cancelled_before_the_answer_the_connection_is_closed(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    task = asyncio.create_task(pool.request(b"POST", CHAT, [], NEVER))
    await until(lambda: engine.stats.in_flight == 1)
    await cancel(task)
    assert nothing_open(pool)
    await until(lambda: engine.stats.in_flight == 0)


async def test_cancelled_inside_the_answer_the_connection_is_closed(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served

    async def work() -> None:
        async with await pool.request(b"POST", CHAT, [], ENDLESS) as response:
            async for _ in response:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(work())
    await begun.wait()
    await cancel(task)
    assert nothing_open(pool)
    await until(lambda: engine.stats.in_flight == 0)


async def test_leaving_at_any_moment_leaks_nothing(served: tuple[Engine, EnginePool]) -> None:
    engine, pool = served
    chance = random.Random(5)
    answered = 0

    async def work(drip: float) -> None:
        nonlocal answered
        body = json.dumps({"stream": True, "fake": {"chunks": 3, "drip": drip}}).encode()
        async with await pool.request(b"POST", CHAT, [], body) as response:
            async for _ in response:
                pass
        answered += 1

    for _ in range(30):
        tasks = [asyncio.create_task(work(chance.random() / 200)) for _ in range(10)]
        for task in tasks:
            await asyncio.sleep(chance.random() / 400)
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert " 0 active, " in repr(pool)
    await until(lambda: engine.stats.in_flight == 0)
    async with await pool.request(b"POST", CHAT, [], b"{}") as response:
        assert json.loads(await response.read_chunk())["model"] == "fake"


# ---- Stopping ----------------------------------------------------------------------------


async def test_closing_the_pool_cuts_every_connection_at_once(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    idle, other = await asyncio.gather(
        pool.request(b"POST", CHAT, [], b"{}"), pool.request(b"POST", CHAT, [], ENDLESS)
    )
    waiting = asyncio.create_task(pool.request(b"POST", CHAT, [], NEVER))
    await until(lambda: engine.stats.in_flight == 2)
    pool.close()
    assert nothing_open(pool)
    assert await idle.read_chunk()
    with pytest.raises(UpstreamGone, match="was stopped"):
        await waiting
    with pytest.raises(UpstreamGone, match="was stopped"):
        while True:
            assert await other.read_chunk()
    await until(lambda: engine.stats.in_flight == 0)


async def test_a_closed_pool_takes_no_requests(served: tuple[Engine, EnginePool]) -> None:
    engine, pool = served
    pool.close()
    pool.close()
    with pytest.raises(UpstreamGone, match="was stopped"):
        await pool.request(b"POST", CHAT, [], b"{}")
    assert engine.stats.connections == 0


async def test_a_connection_that_comes_up_after_the_pool_was_closed_is_not_used(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    task = asyncio.create_task(pool.request(b"POST", CHAT, [], b"{}"))
    await asyncio.sleep(0)
    pool.close()
    with pytest.raises(UpstreamGone, match="was stopped"):
        await task
    assert engine.stats.requests == 0


async def test_a_reader_is_woken_when_another_task_closes_its_answer(
    served: tuple[Engine, EnginePool],
) -> None:
    _, pool = served
    body = json.dumps({"stream": True, "fake": {"chunks": 2, "drip": 60}}).encode()
    response = await pool.request(b"POST", CHAT, [], body)
    await response.read_chunk()
    reader = asyncio.create_task(response.read_chunk())
    await asyncio.sleep(0)
    response.close()
    with pytest.raises(UpstreamGone, match="closed before its end"):
        await reader
