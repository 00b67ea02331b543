"""Requests that are answered without a task, and those that turn out to need one."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from models_app import api_keys
from models_app.document import ModelEntry
from models_app.rights import EVERYTHING, Rights, Scope
from proxy_app import limit_book
from proxy_app.errors import InvalidRequest
from proxy_app.express import _PATHS
from proxy_app.key_guard import needed
from proxy_app.keys import Caller, Key, KeyRing, Keys
from proxy_app.limits import Limits
from proxy_app.records import CLIENT_LEFT
from tests.express_desk import (
    BODY,
    FRIEND,
    PATH,
    SECRET,
    USAGE,
    desk,
    request,
    whole,
)
from tests.raw_server import Line, until

LIMITS = Limits(1000, 10_000, 100_000, 1_000_000, 5)


async def says(line: Line) -> None:
    """An engine that answers."""
    while True:
        await line.request()
        await line.say(whole())


async def test_a_small_answer_needs_no_task(tmp_path: Path) -> None:
    busy: list[tuple[int, int]] = []

    async def script(line: Line) -> None:
        while True:
            asked = await line.request()
            assert b"authorization" not in asked and asked.endswith(BODY)
            busy.append((len(made.state.tasks), made.express.under_way))
            await line.say(whole())

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for _ in range(3):
            status, headers, body = await client.ask(request())
            assert (status, body) == (200, USAGE)
            assert headers["content-length"] == str(len(USAGE))
            assert headers["x-ratelimit-limit-requests"] == "1000"
            assert headers["x-content-type-options"] == "nosniff"
            assert made.is_clear
    assert busy == [(0, 1)] * 3
    (account,) = made.book.accounts_of(made.caller)
    assert (account.day_tokens, made.gone_on) == (30, 0)
    assert [(line.status, line.key_id) for line in made.ended] == [(200, 1)] * 3


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

    monkeypatch.setattr(limit_book, "tokens_of", breaks)

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


async def test_a_request_that_is_taken_back_is_told_so(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.left()
        left.set()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        client.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        (record,) = made.accounting.records.live.values()
        assert record.take_back() and not record.take_back()
        status, _, body = await client.answer()
        assert status >= 400 and b"cancel" in body
        await left.wait()
        await until(lambda: made.is_clear)
    assert len(made.ended) == 1


async def test_what_is_taken_back_as_it_needs_a_task_is_taken_back(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.left()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        client.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        (record,) = made.accounting.records.live.values()
        (connection,) = made.pool._open
        assert record.take_back()
        connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        status, _, body = await client.answer()
        assert status >= 400 and b"cancel" in body
        await until(lambda: made.is_clear)


async def test_an_answer_that_comes_as_it_is_taken_back_is_given(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.left()

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        client.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        (record,) = made.accounting.records.live.values()
        (connection,) = made.pool._open
        record.take_back()
        connection.data_received(whole())  # In the same turn.
        assert (await client.answer())[2] == USAGE
        await until(lambda: made.is_clear)
    assert len(made.ended) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (request(b"{"), 400),
        (request(b'{"model":"fix"}'), 404),
        (request(key="sk-other"), 401),
        (request(path="/v1/no-such"), 404),
        (request(more=b"content-type: text/plain\r\n"), 400),
        (request().replace(b"host: localhost", b"host: evil.example"), 403),
        (request(more=b"origin: https://evil.example\r\n"), 403),
    ],
)
async def test_what_there_is_a_question_about_goes_the_long_way(
    said: bytes, status: int, tmp_path: Path
) -> None:
    async with desk(says, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        assert (await client.ask(said))[0] == status
        assert (await client.ask(request()))[0] == 200
        await until(lambda: made.is_clear)
    assert made.gone_on == 0


async def test_of_two_requests_over_a_limit_one_is_refused_and_neither_holds_anything(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await go.wait()
            await line.say(whole())

    async with desk(script, tmp_path, limits=Limits(parallel=1)) as made:
        first, second = await made.connect(), await made.connect()
        first.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        status, headers, _ = await second.ask(request())
        assert status == 429 and headers["retry-after"]
        go.set()
        assert (await first.answer())[0] == 200
        assert (await second.ask(request()))[0] == 200
        assert made.is_clear


async def test_when_the_model_has_no_place_free_the_request_waits_for_one(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await go.wait()
            await line.say(whole())

    entry = ModelEntry("fox", cmd="true", concurrency_limit=1)
    async with desk(script, tmp_path, limits=LIMITS, entry=entry) as made:
        made.pool._free(await made.pool._connect(made.pool.timeouts))
        first, second = await made.connect(), await made.connect()
        first.writer.write(request())
        await until(lambda: made.express.under_way == 1)
        second.writer.write(request())
        await until(lambda: made.runner._scheduler.queued("fox") == 1)
        (account,) = made.book.accounts_of(made.caller)
        assert account.running == 2
        go.set()
        assert [(await one.answer())[0] for one in (first, second)] == [200, 200]
        await until(lambda: made.is_clear)


async def test_a_page_that_may_read_answers_is_told_so(tmp_path: Path) -> None:
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        _, headers, body = await client.ask(request(more=b"origin: %b\r\n" % FRIEND))
    assert (headers["access-control-allow-origin"], body) == (FRIEND.decode(), USAGE)


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


async def test_an_alias_and_changes_to_the_body_work_as_on_the_long_way(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def script(line: Line) -> None:
        while True:
            seen.append((await line.request()).partition(b"\r\n\r\n")[2])
            await line.say(whole())

    entry = ModelEntry("fox", cmd="true", aliases=("quick",), use_model_name="fox-1")
    async with desk(script, tmp_path, entry=entry) as made:
        client = await made.connect()
        assert (await client.ask(request(b'{"model":"quick","n":1}')))[0] == 200
        assert made.express.under_way == 0
    assert json.loads(seen[0]) == {"model": "fox-1", "n": 1}
    assert made.gone_on == 0


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


async def test_a_path_with_a_slash_at_its_end_is_answered_too(tmp_path: Path) -> None:
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        assert (await client.ask(request(path=PATH + "/")))[2] == USAGE


@pytest.mark.parametrize("fault", [InvalidRequest("no"), RuntimeError("no"), None])
async def test_what_could_not_begin_goes_the_long_way_and_holds_nothing(
    fault: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*args: Any, **more: Any) -> None:
        if fault is not None:
            raise fault

    async with desk(says, tmp_path, limits=LIMITS) as made:
        monkeypatch.setattr(made.pool, "ask", ask)
        client = await made.connect()
        assert (await client.ask(request()))[2] == USAGE
        await until(lambda: made.is_clear)
    assert (len(made.ended), made.gone_on) == (1, 0)
    (account,) = made.book.accounts_of(made.caller)
    assert account.day_tokens == 10


async def test_a_share_of_two_takes_both_lanes_while_the_engine_is_full(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await go.wait()
            await line.say(whole())

    limits = Limits(1000, 10_000, 100_000, 1_000_000, 50, share=2)
    entry = ModelEntry("fox", cmd="true", concurrency_limit=1)
    async with desk(script, tmp_path, limits=limits, entry=entry) as made:
        for _ in range(2):
            made.pool._free(await made.pool._connect(made.pool.timeouts))
        clients = [await made.connect() for _ in range(5)]
        waiting = made.runner._entrance._waiting
        for number, client in enumerate(clients):
            client.writer.write(request())
            await until(lambda goal=number: made.express.under_way + len(waiting) > goal)  # type: ignore[misc]
        lanes = [ticket.caller for ticket in waiting]
        assert sorted(lanes) == ["key 1/0", "key 1/0", "key 1/1", "key 1/1"]
        go.set()
        assert [(await client.answer())[0] for client in clients] == [200] * 5
        await until(lambda: made.is_clear)


@pytest.mark.parametrize("says_more", [b"", b"x-forwarded-for: 10.1.2.3\r\n"])
async def test_behind_a_named_proxy_there_is_no_need_for_a_task(
    says_more: bytes, tmp_path: Path
) -> None:
    seen: list[str] = []

    async def script(line: Line) -> None:
        await line.request()
        seen.extend(record.client for record in made.accounting.records.live.values())
        assert (len(made.state.tasks), made.express.under_way) == (0, 1)
        await line.say(whole())

    proxies = [ipaddress.ip_network("127.0.0.0/8")]
    async with desk(script, tmp_path, proxies=proxies) as made:
        client = await made.connect()
        assert (await client.ask(request(more=says_more)))[2] == USAGE
    assert seen == ["10.1.2.3" if says_more else "127.0.0.1"]


PARITY = [
    (b"", whole(), LIMITS),
    (b"accept-encoding: gzip\r\ncookie: a=b\r\nx-mine: 1\r\n", whole(), None),
    (b"x-request-id: mine\r\n", whole(more=b"access-control-allow-origin: *\r\n"), LIMITS),
    (b"connection: x-mine\r\nx-mine: 1\r\n", whole(more=b"x-engine: 2\r\n"), LIMITS),
    (b"connection: keep-alive\r\n", whole(more=b"keep-alive: timeout=5\r\n"), LIMITS),
]


@pytest.mark.parametrize(("more", "answer", "limits"), PARITY)
async def test_both_ways_end_alike(
    more: bytes, answer: bytes, limits: Limits | None, tmp_path: Path
) -> None:
    """At the engine, at the client and in the usage; a slash at the end makes it the long way."""
    seen: list[bytes] = []

    async def script(line: Line) -> None:
        while True:
            seen.append(await line.request())
            await line.say(answer)

    told: list[Any] = []
    async with desk(script, tmp_path, limits=limits) as made:
        for path in (PATH, PATH + "/"):
            client = await made.connect()
            status, headers, body = await client.ask(request(more=more, path=path))
            numbered = ("x-request-id", "x-ratelimit-remaining-requests", "date")
            changing = (*numbered, "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests")
            kept = {name for name in headers if name not in changing}
            told.append((status, {name: headers[name] for name in kept}, set(headers), body))
    short, long = (sorted(one.replace(b"-0", b"-1").split(b"\r\n")) for one in seen)
    assert short == long
    assert told[0][0::3] == told[1][0::3]
    assert told[0][2] == told[1][2]
    assert {name: value for name, value in told[0][1].items() if "reset" not in name} == {
        name: value for name, value in told[1][1].items() if "reset" not in name
    }
    first, second = made.ended
    assert (first.status, first.figures, first.size, first.key_id) == (
        *(second.status, second.figures, second.size, second.key_id),
    )


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


def _ring(**more: Any) -> KeyRing:
    digest = bytes.fromhex(api_keys.digest_of(SECRET))
    caller = Caller("laptop", 1, Rights(0, "laptop", EVERYTHING, key_id=1))
    return KeyRing.of(True, [Key(digest, caller, **more)])


@pytest.mark.parametrize(
    ("ring", "header", "is_known"),
    [
        (_ring(), (b"authorization", b"Bearer sk-express"), True),
        (_ring(), (b"x-api-key", b"sk-express"), True),
        (_ring(), (b"authorization", b"Bearer sk-other"), False),
        (_ring(), (b"cookie", b"sessionid=abc"), False),
        (_ring(expires_at=1.0), (b"x-api-key", b"sk-express"), False),
        (_ring(guessable=True), (b"x-api-key", b"sk-express"), False),
        (KeyRing(required=True), (b"x-api-key", b"sk-express"), False),
        (KeyRing(), (b"accept", b"*/*"), True),
        (None, (b"x-api-key", b"sk-express"), False),
    ],
)
def test_only_callers_without_question_are_known(
    ring: KeyRing | None, header: tuple[bytes, bytes], is_known: bool
) -> None:
    keys = Keys()
    keys.ring = ring
    scope = {
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"localhost"), header],
        "query_string": b"api_key=sk-express",
    }
    assert (keys.known(scope) is not None) is is_known


def test_all_that_is_taken_needs_the_right_to_use_models() -> None:
    for path in _PATHS:
        scope = {"type": "http", "path": path, "method": "POST"}
        assert needed(scope) is Scope.INFERENCE


async def test_who_may_not_use_models_is_refused_on_the_long_way(tmp_path: Path) -> None:
    async with desk(says, tmp_path, scopes=frozenset({Scope.MANAGE})) as made:
        client = await made.connect()
        assert (await client.ask(request()))[0] == 403
    assert not made.ended
