"""Requests that are answered without a task, and those that turn out to need one."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from models_app import api_keys
from models_app.document import ModelEntry
from models_app.rights import EVERYTHING, Bounds, Rights, Scope, bounds_of
from proxy_app import incoming
from proxy_app.errors import InvalidRequest
from proxy_app.express import _PATHS
from proxy_app.key_guard import needed
from proxy_app.keys import STRANGER, Caller, Key, KeyRing, Keys
from proxy_app.limits import Limits
from tests.express_desk import (
    BODY,
    FRIEND,
    LIMITS,
    PATH,
    SECRET,
    USAGE,
    desk,
    request,
    says,
    whole,
)
from tests.raw_server import Line, until


async def test_a_small_answer_needs_no_task(tmp_path: Path) -> None:
    busy: list[tuple[int, int]] = []

    async def script(line: Line) -> None:
        while True:
            asked = await line.request()
            assert b"authorization" not in asked and asked.endswith(BODY)
            assert b"x-conversation-id" not in asked  # With it, engines go on for who has left.
            busy.append((len(made.state.tasks), made.express.under_way))
            await line.say(whole())

    async with desk(script, tmp_path, limits=LIMITS) as made:
        client = await made.connect()
        for _ in range(3):
            status, headers, body = await client.ask(request(more=b"X-Conversation-Id: abc\r\n"))
            assert (status, body) == (200, USAGE)
            assert headers["content-length"] == str(len(USAGE))
            assert headers["x-ratelimit-limit-requests"] == "1000"
            assert headers["x-content-type-options"] == "nosniff"
            assert made.is_clear
    assert busy == [(0, 1)] * 3
    (account,) = made.book.accounts_of(made.caller)
    assert (account.day_tokens, made.gone_on) == (30, 0)
    assert [(line.status, line.key_id) for line in made.ended] == [(200, 1)] * 3


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


async def test_a_body_that_never_comes_ends_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13: the first implementation waits for it as long as its client likes."""
    monkeypatch.setattr(incoming, "STALL_SECONDS", 0.05)
    async with desk(says, tmp_path) as made:
        client = await made.connect()
        status, _, said = await client.ask(request()[:-1])
        assert status == 408 and b"timeout" in said.lower(), said
        await until(lambda: client.reader.at_eof())
        assert made.is_clear


_PICTURE = (
    b'{"model":"fox","messages":[{"role":"user","content":'
    b'[{"type":"image_url","image_url":{"url":"http://192.168.1.1/"}}]}]}'
)


@pytest.mark.parametrize(
    ("bounds", "body", "status", "code"),
    [
        (bounds_of(["sea"], []), BODY, 403, b"model_not_allowed"),
        (bounds_of([], ["small"]), BODY, 403, b"model_not_allowed"),
        ((), _PICTURE, 400, b"data: URL"),
    ],
)
async def test_no_idle_engine_is_asked_for_what_a_key_may_not_have(
    tmp_path: Path, bounds: Bounds, body: bytes, status: int, code: bytes
) -> None:
    asked = []

    async def script(line: Line) -> None:
        asked.append(await line.request())
        await line.say(whole())

    scopes = frozenset({Scope.INFERENCE})
    async with desk(script, tmp_path, scopes=scopes, bounds=bounds) as made:
        client = await made.connect()
        found, _, said = await client.ask(request(body))
        assert (found, code in said) == (status, True), said
    assert not asked


@pytest.mark.parametrize(
    ("client", "host", "more", "at_home"),
    [
        ("192.168.1.9", b"localhost", (), True),
        ("127.0.0.1", b"box.lan", (), True),
        ("127.0.0.1", b"localhost", ((b"x-forwarded-for", b"127.0.0.1"),), True),
        ("127.0.0.1", b"localhost", (), False),
    ],
)
def test_nobody_is_known_for_sitting_here_who_may_not(
    client: str, host: bytes, more: tuple[tuple[bytes, bytes], ...], at_home: bool
) -> None:
    keys = Keys()
    keys.ring, keys.open_at_home = KeyRing(), at_home
    scope = {"client": (client, 1), "headers": [(b"host", host), *more], "query_string": b""}
    assert keys.known(scope) is None
    assert keys.caller_of(scope, keys.ring) is STRANGER
