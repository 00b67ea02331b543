from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from proxy_app.errors import InvalidRequest, UpstreamGone, UpstreamTimeout
from proxy_app.upstream import EnginePool, UpstreamResponse, UpstreamTimeouts
from tests.fake_server import Engine
from tests.raw_server import Line, fake_engine, raw_server, until

EVERY_LOOP = True

ECHO = b"/fake/echo"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def body_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def endless() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0)
        yield b"x" * 65536


async def never() -> AsyncIterator[bytes]:
    yield b"begun"
    await asyncio.get_running_loop().create_future()


async def answer(response: UpstreamResponse) -> Any:
    async with response:
        return json.loads(b"".join([chunk async for chunk in response]))


def no_uploads_left() -> bool:
    return not [task for task in asyncio.all_tasks() if task.get_name() == "upload to an engine"]


@pytest.fixture
async def served() -> AsyncIterator[tuple[Engine, EnginePool]]:
    async with fake_engine() as (engine, port):
        pool = EnginePool("127.0.0.1", port)
        yield engine, pool
        pool.close()
        assert no_uploads_left()


async def test_a_body_without_a_length_goes_in_chunks(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    arrived = await answer(await pool.upload(b"POST", ECHO, [], body_of(b"one", b"", b"two")))
    assert arrived["sha256"] == sha256(b"onetwo").hexdigest()
    assert ["transfer-encoding", "chunked"] in arrived["headers"]
    assert " 0 active, 1 idle>" in repr(pool)


async def test_a_body_with_a_length_goes_as_it_is(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    upload = pool.upload(b"POST", ECHO, [(b"content-length", b"9")], body_of(b"one", b"two"), 6)
    arrived = await answer(await upload)
    assert arrived["sha256"] == sha256(b"onetwo").hexdigest()
    assert arrived["headers"][1:] == [["content-length", "6"]]


async def test_a_large_body_arrives_whole(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    pieces = [bytes([number]) * 100_000 for number in range(200)]
    arrived = await answer(await pool.upload(b"POST", ECHO, [], body_of(*pieces)))
    assert arrived["sha256"] == sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("length", [5, 7])
async def test_a_body_that_does_not_have_its_length_is_refused(
    served: tuple[Engine, EnginePool], length: int
) -> None:
    _, pool = served
    with pytest.raises(InvalidRequest, match="Content-Length"):
        await pool.upload(b"POST", ECHO, [], body_of(b"one", b"two"), length)
    assert " 0 active, 0 idle>" in repr(pool)


async def test_the_bodys_own_error_reaches_the_caller(served: tuple[Engine, EnginePool]) -> None:
    class ClientWentAway(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ClientWentAway

    _, pool = served
    with pytest.raises(ClientWentAway):
        await pool.upload(b"POST", ECHO, [], broken())
    assert " 0 active, 0 idle>" in repr(pool)


async def test_no_more_is_taken_from_the_client_than_the_engine_takes() -> None:
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for piece in endless():
            taken += len(piece)
            yield piece

    async def script(line: Line) -> None:
        await asyncio.get_running_loop().create_future()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        task = asyncio.create_task(pool.upload(b"POST", ECHO, [], counted()))
        seen = -1
        while taken != seen or not taken:
            seen = taken
            await asyncio.sleep(0.1)
        # The system's own socket buffers take a few megabytes on top of ours.
        assert taken < 64_000_000
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert no_uploads_left()


async def test_an_early_answer_ends_the_upload() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say(OK.replace(b"200 OK", b"413 Too Large"))
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.upload(b"POST", ECHO, [], never()) as response:
            assert response.status == 413
            assert await response.read_chunk() == b"ok"
        assert " 0 active, 0 idle>" in repr(pool)
        assert no_uploads_left()


async def test_an_answer_may_begin_before_the_body_ends() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = await line.reader.readuntil(b"two\r\n")
        await line.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))
        await line.left()

    async def conversation() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        yield b"two"

    answered = asyncio.Event()
    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.upload(b"POST", ECHO, [], conversation()) as response:
            answered.set()
            assert await response.read_chunk() == b"3\r\none\r\n3\r\ntwo\r\n"


async def test_an_engine_that_dies_during_the_upload_is_gone() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.reader.readexactly(5)
        line.reset()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        with pytest.raises(UpstreamGone):
            await pool.upload(b"POST", ECHO, [], endless())
        assert no_uploads_left()


async def test_leaving_the_answer_ends_the_upload() -> None:
    async def script(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.upload(b"POST", ECHO, [], never()) as response:
            assert await response.read_chunk() == b"x"
        assert no_uploads_left()
        assert " 0 active, 0 idle>" in repr(pool)


async def test_an_engine_that_stops_taking_the_body_runs_into_its_limit() -> None:
    async def script(line: Line) -> None:
        await asyncio.get_running_loop().create_future()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port, UpstreamTimeouts(first_byte=0.2))
        with pytest.raises(UpstreamTimeout, match="did not take the request"):
            await pool.upload(b"POST", ECHO, [], endless())
        assert no_uploads_left()


async def test_a_slow_client_is_not_the_engines_fault(served: tuple[Engine, EnginePool]) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.7)
        yield b"two"

    _, pool = served
    pool.timeouts = UpstreamTimeouts(first_byte=0.5)
    assert (await answer(await pool.upload(b"POST", ECHO, [], slow())))["length"] == 6


async def test_an_upload_does_not_use_a_kept_connection(served: tuple[Engine, EnginePool]) -> None:
    engine, pool = served
    await pool.request(b"GET", b"/props", [])
    await until(lambda: engine.stats.connections == 1)
    await answer(await pool.upload(b"POST", ECHO, [], body_of(b"x")))
    assert engine.stats.connections == 2


async def test_a_closed_pool_takes_no_upload(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    pool.close()
    body = body_of(b"x")
    with pytest.raises(UpstreamGone, match="was stopped"):
        await pool.upload(b"POST", ECHO, [], body)
