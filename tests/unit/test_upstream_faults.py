from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from proxy_app.errors import EngineDiedMidStream, UpstreamGone
from proxy_app.upstream import EnginePool, UpstreamResponse
from proxy_app.upstream_connection import HEAD_LIMIT
from tests.fake_server import Engine
from tests.raw_server import Line, fake_engine, nothing_open, raw_server, read, until

EVERY_LOOP = True

CHAT = b"/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
NEVER = json.dumps({"fake": {"never": True}}).encode()
ENDLESS = json.dumps({"stream": True, "fake": {"chunks": 100_000, "drip": 0.01}}).encode()


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
