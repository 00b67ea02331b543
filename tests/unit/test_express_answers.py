"""What engines answer to requests that have no task, and those that then get one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy_app import entries
from proxy_app.limits import Limits
from tests.express_desk import (
    LIMITS,
    USAGE,
    desk,
    request,
    says,
    whole,
)
from tests.raw_server import Line, until


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (whole(b'{"error":{}}', b"400 Bad Request"), 400, b'{"error":{}}'),
        (whole(b""), 200, b""),
        (whole(more=b"connection: x-secret\r\nx-secret: 1\r\n"), 200, USAGE),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
            200,
            b"{}\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n",
            200,
            b"data: 1\n\n",
        ),
    ],
)
async def test_whatever_an_engine_answers_arrives(
    answer: bytes, status: int, body: bytes, tmp_path: Path
) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.say(answer)

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for _ in range(2):
            got = await client.ask(request())
            assert (got[0], got[2]) == (status, body)
            assert "x-secret" not in got[1]
            await until(lambda: made.is_clear)
    assert [line.status for line in made.ended] == [status] * 2


async def test_a_request_is_asked_twice_at_most(tmp_path: Path) -> None:
    asked = 0

    async def script(line: Line) -> None:
        nonlocal asked
        await line.request()
        asked += 1
        line.reset()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        for _ in range(3):
            made.pool._free(await made.pool._connect(made.pool.timeouts))
        for connection in made.pool._idle:
            connection._reused = True
        client = await made.connect()
        assert (await client.ask(request()))[0] == 502
        await until(lambda: made.is_clear)
    assert asked == 2


@pytest.mark.parametrize(
    "figures",
    [
        b'{"timings":{"prompt_ms":%b}}' % (b"9" * 400),
        b'{"usage":{"prompt_tokens":%b}}' % (b"9" * 5000),
        b'{"usage":{"a":{"b":%b1%b}}}' % (b"[" * 9000, b"]" * 9000),
    ],
)
async def test_whatever_an_engine_counts_everything_is_given_back(
    figures: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.say(whole(figures))

    async with desk(script, tmp_path, limits=Limits(1000, 10_000, parallel=1)) as made:
        client = await made.connect()
        for _ in range(3):
            assert (await client.ask(request()))[0] == 200
            await until(lambda: made.is_clear)
    assert len(made.ended) == 3
    assert "could not be counted" not in caplog.text
    (account,) = made.book.accounts_of(made.caller)
    assert account.reserved == 0


async def test_what_cannot_be_charged_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(line: Any) -> int:
        raise RuntimeError("beyond all sense")

    monkeypatch.setattr(entries, "totals_told", lambda texts: [-1] * len(texts))
    monkeypatch.setattr(entries, "read_figures", breaks)

    async with desk(says, tmp_path, limits=Limits(1000, 10_000, parallel=1)) as made:
        client = await made.connect()
        for _ in range(3):
            assert (await client.ask(request()))[0] == 200
            await until(lambda: made.is_clear)
    assert caplog.text.count("could not be counted") == 3
    (account,) = made.book.accounts_of(made.caller)
    assert account.reserved == 0


@pytest.mark.parametrize("cut", [1, 20, 60, len(whole()) - len(USAGE), len(whole()) - 1])
async def test_a_short_answer_in_two_parts_is_waited_for(cut: int, tmp_path: Path) -> None:
    asked = 0

    async def script(line: Line) -> None:
        nonlocal asked
        while True:
            await line.request()
            asked += 1
            await line.say(whole()[:cut])
            await asyncio.sleep(0.02)
            await line.say(whole()[cut:])

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for _ in range(2):
            assert (await client.ask(request()))[2] == USAGE
            await until(lambda: made.is_clear)
    assert (asked, made.gone_on) == (2, 0)
    assert len(made.ended) == 2


CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    b"4\r\n[1,2\r\n4\r\n,34]\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("said", "cut", "body"),
    [
        (CHUNKED, len(CHUNKED) - 16, b"[1,2,34]"),
        (CHUNKED, len(CHUNKED) - 5, b"[1,2,34]"),
        (whole(b"x" * 100_000), 150, b"x" * 100_000),
    ],
)
async def test_what_may_be_long_goes_on_with_a_task(
    said: bytes, cut: int, body: bytes, tmp_path: Path
) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.say(said[:cut])
            await asyncio.sleep(0.02)
            await line.say(said[cut:])

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for _ in range(2):
            assert (await client.ask(request()))[2] == body
            await until(lambda: made.is_clear)
    assert (made.gone_on, len(made.ended)) == (2, 2)


async def test_head_and_body_in_two_packets_need_no_task_either(tmp_path: Path) -> None:
    """As llama-server writes them."""

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.say(whole()[: -len(USAGE)])
            await asyncio.sleep(0.02)
            await line.say(USAGE)

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        assert (await client.ask(request()))[2] == USAGE
        assert made.is_clear
    assert made.gone_on == 0


@pytest.mark.parametrize("end", [b"", b"{"])
async def test_an_engine_that_dies_behind_its_head_is_told_of(end: bytes, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(whole()[: -len(USAGE)])
        await asyncio.sleep(0.02)
        await line.say(end)

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        assert (await client.ask(request()))[0] == 502
        await until(lambda: made.is_clear)


async def test_a_connection_the_engine_had_closed_is_replaced(tmp_path: Path) -> None:
    lines: list[Line] = []

    async def script(line: Line) -> None:
        lines.append(line)
        await line.request()
        if len(lines) == 1:
            line.reset()
        else:
            await line.say(whole())

    async with desk(script, tmp_path, limits=LIMITS) as made:
        (connection,) = made.pool._idle
        connection._reused = True  # As one that has carried an answer before.
        client = await made.connect()
        assert (await client.ask(request()))[2] == USAGE
        await until(lambda: made.is_clear)
    assert (len(lines), made.gone_on, len(made.ended)) == (2, 1, 1)


async def test_an_engine_that_dies_is_told_as_on_the_long_way(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.request()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        status, headers, body = await client.ask(request())
        assert status == 502 and "x-request-id" in headers
        assert "engine" in json.loads(body)["error"]["message"]
        await until(lambda: made.is_clear)
    assert [line.status for line in made.ended] == [502]
