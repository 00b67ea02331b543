"""Clients' connections, on which requests are answered with and without a task."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from pathlib import Path

import pytest

from proxy_app.records import CLIENT_LEFT
from tests.express_desk import (
    LIMITS,
    PATH,
    USAGE,
    desk,
    request,
    says,
    whole,
)
from tests.raw_server import Line, until


async def test_the_request_may_come_in_any_two_parts(tmp_path: Path) -> None:
    said = request()
    async with desk(says, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for cut in range(1, len(said), 7):
            client.writer.write(said[:cut])
            await asyncio.sleep(0.002)
            client.writer.write(said[cut:])
            assert (await client.answer())[2] == USAGE
        assert made.is_clear


async def test_requests_behind_each_other_are_answered_in_their_order(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        while True:
            asked = json.loads((await line.request()).partition(b"\r\n\r\n")[2])
            await line.say(whole(json.dumps({"n": asked["seed"]}).encode()))

    async with desk(script, tmp_path) as made:
        client = await made.connect()
        bodies = [b'{"model":"fox","seed":%d}' % number for number in range(4)]
        client.writer.write(b"".join(map(request, bodies)))
        answers = [json.loads((await client.answer())[2])["n"] for _ in bodies]
        assert answers == [0, 1, 2, 3]
        await until(lambda: made.is_clear)


async def test_a_client_that_leaves_stops_the_engine(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.left()
        left.set()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        client.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        client.writer.close()
        await left.wait()
        await until(lambda: made.is_clear)
    assert [line.status for line in made.ended] == [CLIENT_LEFT]
    assert made.gone_on == 0


async def test_a_client_that_leaves_a_long_request_is_noticed_as_well(tmp_path: Path) -> None:
    """More than the server takes in before somebody asks for it."""
    left = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.left()
        left.set()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        client.writer.write(request(b'{"model":"fox","prompt":"%b"}' % (b"x" * 100_000)))
        await until(lambda: bool(made.accounting.records.live))
        await asyncio.sleep(0.05)
        client.writer.close()
        await left.wait()
        await until(lambda: made.is_clear)
    assert [line.status for line in made.ended] == [CLIENT_LEFT]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("more", [b"", b"connection: close\r\n", b"expect: 100-continue\r\n"])
async def test_every_kind_of_client_gets_its_answer(
    version: bytes, more: bytes, tmp_path: Path
) -> None:
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        client.writer.write(request(version=version, more=more))
        status, headers, body = await client.answer()
        if status == 100:
            status, headers, body = await client.answer()
        assert (status, body) == (200, USAGE)
        if version == b"1.0" or b"close" in more:
            assert headers["connection"] == "close"
            assert await client.reader.read() == b""


async def test_nothing_is_kept_of_a_request_that_was_answered(tmp_path: Path) -> None:
    async with desk(says, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        gc.collect()
        gc.disable()
        try:
            await client.ask(request())
            (connection,) = made.state.connections
            old = weakref.ref(connection.cycle)  # type: ignore[union-attr]
            await client.ask(request())
            assert old() is None
        finally:
            gc.enable()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await asyncio.sleep(1)
            await line.say(whole())

    async with desk(script, tmp_path, keep_alive=0.5) as made:
        client = await made.connect()
        for _ in range(2):
            assert (await client.ask(request()))[2] == USAGE
        client.writer.write(b"\r\n")  # No request begins by that.
        async with asyncio.timeout(10):
            assert await client.reader.read() == b""


async def test_a_connection_that_was_closed_is_freed_without_the_collector(tmp_path: Path) -> None:
    async with desk(says, tmp_path) as made:
        gc.collect()
        gc.disable()
        try:
            for path in (PATH, PATH + "/"):
                client = await made.connect()
                await client.ask(request(path=path))
                (connection,) = made.state.connections
                old = weakref.ref(connection)
                del connection
                client.writer.close()
                await until(lambda: not made.state.connections)
                await asyncio.sleep(0.01)
                assert old() is None, path
        finally:
            gc.enable()


@pytest.mark.parametrize(
    "headers",
    [
        b"connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        b"connection: upgrade\r\nupgrade: websocket2\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", request()])
@pytest.mark.parametrize("cut", [0, 70])
async def test_an_offer_that_is_not_taken_up_is_answered_all_the_same(
    headers: bytes, before: bytes, cut: int, tmp_path: Path
) -> None:
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        said = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n%b" % headers
        said += b"authorization: Bearer sk-express\r\n\r\n"
        client.writer.write(before + said[:cut])
        await asyncio.sleep(0.02)
        client.writer.write(said[cut:])
        if before:
            assert (await client.answer())[2] == USAGE
        status, _, body = await client.answer()
        assert status == 200 and b"fox" in body


async def test_a_tunnel_is_refused(tmp_path: Path) -> None:
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        said = b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n"
        status, _, _ = await client.ask(said + b"authorization: Bearer sk-express\r\n\r\n")
        assert status in (400, 404, 405)
