"""Pieces of an event stream go from engine to client without a turn of the request's task."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from proxy_app.incoming import ClientLink
from proxy_app.upstream import EnginePool
from tests.raw_server import Line, raw_server

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [b"%d " % number for number in range(200)]


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@pytest.mark.parametrize("taken", [0.0, 0.3, 0.7, 1.0])
async def test_every_piece_comes_once_and_in_order_whoever_takes_it(taken: float) -> None:
    """However often a client is behind: what is not handed on at once waits for the reader."""
    chance = random.Random(7)
    handed_on: list[bytes] = []
    came: list[bytes] = []

    async def script(line: Line) -> None:
        await line.request()
        await line.say(HEAD)
        for piece in PIECES:
            await line.say(chunk(piece))
            await asyncio.sleep(0)
        await line.say(b"0\r\n\r\n")

    def take(piece: bytes) -> bool:
        if chance.random() >= taken:
            return False
        handed_on.append(piece)
        came.append(piece)
        return True

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.request(b"GET", b"/", []) as response:
            response.hand_on(take)
            while not response.at_end:
                came.append(await response.read_chunk())
                await asyncio.sleep(0)  # As a client that has to be waited for.
    assert b"".join(came) == b"".join(PIECES)
    assert bool(handed_on) == bool(taken)


async def test_an_engine_that_dies_is_told_to_the_reader_behind_what_was_handed_on() -> None:
    came: list[bytes] = []

    async def script(line: Line) -> None:
        await line.request()
        await line.say(HEAD)
        await line.say(chunk(b"half of"))

    def take(piece: bytes) -> bool:
        came.append(piece)
        return True

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.request(b"GET", b"/", []) as response:
            response.hand_on(take)
            with pytest.raises(Exception, match="in the middle of its answer"):
                while not response.at_end:
                    came.append(await response.read_chunk())
    assert b"".join(came) == b"half of"


class Link(ClientLink):
    """Of a connection that has no more to it than being written to."""

    def answer(self, send: Any, lines: bytes, body: bytes) -> bool:
        return False

    def begin_task(self, app: Any) -> Any:
        raise AssertionError("No request came by here.")


def test_a_client_that_is_behind_gone_or_of_an_old_kind_is_written_to_by_others() -> None:
    written: list[bytes] = []
    flow = SimpleNamespace(write_paused=False)
    link = Link(flow, written.append)
    assert link.pass_on(b"twelve bytes")
    flow.write_paused = True
    assert not link.pass_on(b"behind")
    flow.write_paused = False
    link.leave()
    assert not link.pass_on(b"gone")
    assert not Link(flow, None).pass_on(b"old")
    assert written == [b"c\r\ntwelve bytes\r\n"]
