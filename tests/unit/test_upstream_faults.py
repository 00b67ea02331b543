from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from proxy_app.errors import EngineDiedMidStream, UpstreamGone, UpstreamTimeout
from proxy_app.upstream import EnginePool, UpstreamResponse, UpstreamTimeouts
from proxy_app.upstream_connection import HEAD_LIMIT
from tests.fake_server import Engine
from tests.raw_server import Line, fake_engine, raw_server, until

EVERY_LOOP = True

CHAT = b"/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
NEVER = json.dumps({"fake": {"never": True}}).encode()
ENDLESS = json.dumps({"stream": True, "fake": {"chunks": 100_000, "drip": 0.01}}).encode()


def nothing_open(pool: EnginePool) -> bool:
    return repr(pool).endswith((" 0 active, 0 idle>", " closed>"))


async def read(response: UpstreamResponse) -> AsyncIterator[bytes]:
    async with response:
        async for chunk in response:
            yield chunk


async def read_until_it_breaks(response: UpstreamResponse) -> tuple[bytes, Exception]:
    body = b""
    with pytest.raises(UpstreamGone) as caught:
        async for chunk in read(response):
            body += chunk
    return body, caught.value


@pytest.fixture
async def served() -> AsyncIterator[tuple[Engine, EnginePool]]:
    async with fake_engine() as (engine, port):
        pool = EnginePool("127.0.0.1", port)
        yield engine, pool
        pool.close()


# ---- Engines that cannot be reached, or hang up ------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_nobody_listening_is_a_gone_upstream(closed_port: int) -> None:
    pool = EnginePool("127.0.0.1", closed_port)
    with pytest.raises(UpstreamGone, match=f"127.0.0.1:{closed_port} cannot be reached"):
        await pool.request(b"GET", b"/", [])
    assert nothing_open(pool)


async def test_a_fresh_connection_that_is_closed_is_not_tried_again() -> None:
    async def script(line: Line) -> None:
        await line.request()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(UpstreamGone, match="before it answered"):
            await pool.request(b"POST", b"/", [], b"{}")
        assert len(server.lines) == 1
        assert nothing_open(pool)


async def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    heard: list[bytes] = []

    async def script(line: Line) -> None:
        if len(server.lines) == 1:
            await line.request()
            await line.say(EMPTY)
            await line.request()  # The engine hangs up just as the next request arrives.
        else:
            heard.append(await line.request())
            await line.say(OK + b"content-length: 2\r\n\r\nok")

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        await pool.request(b"GET", b"/", [])
        response = await pool.request(b"POST", b"/again", [], b"body")
        assert await response.read_chunk() == b"ok"
        assert len(server.lines) == 2
        assert heard[0].endswith(b"\r\n\r\nbody")


async def test_an_engine_that_hangs_up_on_the_second_try_as_well_is_gone() -> None:
    async def script(line: Line) -> None:
        await line.request()
        if len(server.lines) == 1:
            await line.say(EMPTY)
            await line.request()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        await pool.request(b"GET", b"/", [])
        with pytest.raises(UpstreamGone):
            await pool.request(b"GET", b"/", [])
        assert len(server.lines) == 2
        assert nothing_open(pool)


async def test_an_answer_that_had_begun_is_not_asked_for_again() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(EMPTY)
        await line.request()
        await line.say(b"HTTP/1.1 2")

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        await pool.request(b"GET", b"/", [])
        with pytest.raises(UpstreamGone):
            await pool.request(b"GET", b"/", [])
        assert len(server.lines) == 1


async def test_an_idle_connection_that_the_engine_closes_is_forgotten() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(EMPTY)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        await pool.request(b"GET", b"/", [])
        await until(lambda: nothing_open(pool))


# ---- Answers that break off --------------------------------------------------------------


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: 10\r\n\r\n", b"hello"),
        (b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"),
        (b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n"),
        (b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\nzz\r\n"),
        (b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhelloXX"),
    ],
)
async def test_a_body_that_breaks_off_is_never_taken_for_whole(framing: bytes, body: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(OK + framing)
        await head_seen.wait()
        await line.say(body)

    head_seen = asyncio.Event()
    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        response = await pool.request(b"GET", b"/", [])
        head_seen.set()
        text, error = await read_until_it_breaks(response)
        assert text == b"hello"
        assert type(error) is EngineDiedMidStream
        with pytest.raises(EngineDiedMidStream):
            await response.read_chunk()
        assert nothing_open(pool)


async def test_an_answer_broken_from_the_start_is_no_answer() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(EngineDiedMidStream, match="Invalid character in chunk size"):
            await pool.request(b"GET", b"/", [])
        assert nothing_open(pool)


async def test_a_reset_is_not_the_end_of_a_body_without_a_length() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say(OK + b"\r\nhello")
        await told.wait()
        # With the request's body unread the system says "reset", not "end".
        line.reset()

    told = asyncio.Event()
    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.request(b"POST", b"/", [], b"x" * 4_000_000) as response:
            assert await response.read_chunk() == b"hello"
            told.set()
            with pytest.raises(EngineDiedMidStream):
                await response.read_chunk()


async def test_an_engine_that_dies_while_we_wait_wakes_the_reader(
    served: tuple[Engine, EnginePool],
) -> None:
    _, pool = served
    body = json.dumps({"stream": True, "fake": {"chunks": 9, "cut_after": 3}}).encode()
    text, error = await read_until_it_breaks(await pool.request(b"POST", CHAT, [], body))
    assert text.count(b"data:") == 3
    assert isinstance(error, EngineDiedMidStream)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ],
)
async def test_what_is_not_an_answer_is_refused(answer: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(answer)
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(UpstreamGone, match="broke the HTTP protocol"):
            await pool.request(b"GET", b"/", [])
        assert nothing_open(pool)


@pytest.mark.parametrize("line", [b"x: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
async def test_headers_without_end_are_given_up(line: bytes) -> None:
    sent = 0

    async def script(end: Line) -> None:
        nonlocal sent
        await end.request()
        await end.say(OK)
        while True:
            await end.say(line)
            sent += len(line)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(UpstreamGone, match=f"more than {HEAD_LIMIT} bytes"):
            await pool.request(b"GET", b"/", [])
        assert nothing_open(pool)


async def test_interim_answers_without_end_are_given_up() -> None:
    async def script(line: Line) -> None:
        await line.request()
        while True:
            await line.say(b"HTTP/1.1 102 Processing\r\n\r\n")

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(UpstreamGone, match="bytes of headers"):
            await pool.request(b"GET", b"/", [])


@pytest.mark.parametrize("apart", [False, True], ids=["same packet", "later packet"])
async def test_bytes_after_an_answer_are_never_taken_for_the_next(apart: bool) -> None:
    forged = OK + b"content-length: 6\r\n\r\nforged"

    async def script(line: Line) -> None:
        await line.request()
        if len(server.lines) > 1:
            await line.say(OK + b"content-length: 4\r\n\r\ntrue")
        elif apart:
            await line.say(EMPTY)
            await free.wait()
            await line.say(forged)
        else:
            await line.say(EMPTY + forged)
        await line.left()

    free = asyncio.Event()
    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        first = await pool.request(b"GET", b"/", [])
        assert await first.read_chunk() == b""
        free.set()
        await until(lambda: nothing_open(pool))
        second = await pool.request(b"GET", b"/", [])
        assert await second.read_chunk() == b"true"


async def test_a_connection_with_half_a_request_on_it_is_not_kept() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.get_running_loop().create_future()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        response = await pool.request(b"POST", b"/", [], b"x" * 64_000_000)
        assert (response.status, response.complete) == (413, True)
        assert nothing_open(pool)


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
