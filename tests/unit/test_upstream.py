from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy_app.errors import InvalidRequest
from proxy_app.upstream import IDLE_LIMIT, EnginePool, UpstreamResponse, forwardable
from proxy_app.upstream_response import BUFFER_LIMIT
from tests.fake_server import Engine
from tests.raw_server import Line, fake_engine, raw_server, until

EVERY_LOOP = True

CHAT = b"/v1/chat/completions"


def asking(**request: Any) -> bytes:
    return json.dumps(request).encode()


async def whole(response: UpstreamResponse) -> bytes:
    async with response:
        return b"".join([chunk async for chunk in response])


async def echoed(pool: EnginePool, *args: Any, **kwargs: Any) -> Any:
    return json.loads(await whole(await pool.request(*args, **kwargs)))


@pytest.fixture
async def served() -> AsyncIterator[tuple[Engine, EnginePool]]:
    async with fake_engine() as (engine, port):
        pool = EnginePool("127.0.0.1", port)
        yield engine, pool
        pool.close()


async def answer_of(*pieces: bytes, method: bytes = b"GET") -> tuple[UpstreamResponse, bytes]:
    """What the client makes of these bytes, sent by a server that then closes."""

    async def script(line: Line) -> None:
        await line.request()
        await line.say(*pieces)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        response = await pool.request(method, b"/", [])
        return response, await whole(response)


# ---- Answers -----------------------------------------------------------------------------


async def test_an_answer_has_status_headers_and_body(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    response = await pool.request(b"POST", CHAT, [], b"{}")
    assert response.status == 200
    assert (b"content-type", b"application/json; charset=utf-8") in response.headers
    assert await whole(response) == engine.canned.partition(b"\r\n\r\n")[2]


async def test_a_small_answer_is_readable_at_once(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    async with await pool.request(b"POST", CHAT, [], b"{}") as response:
        assert (response.complete, response.at_end) == (True, False)
        assert json.loads(await response.read_chunk())["model"] == "fake"
        assert (response.complete, response.at_end) == (True, True)
        assert await response.read_chunk() == b""


async def test_a_stream_arrives_as_it_is_sent(served: tuple[Engine, EnginePool]) -> None:
    engine, pool = served
    body = asking(stream=True, fake={"chunks": 3, "drip": 0.02})
    async with await pool.request(b"POST", CHAT, [], body) as response:
        first = await response.read_chunk()
        assert first.count(b"data:") == 1
        assert engine.stats.in_flight == 1
        rest = [chunk async for chunk in response]
    assert len(rest) >= 2
    assert rest[-1].endswith(b"data: [DONE]\n\n")


async def test_pieces_that_arrived_together_are_read_together() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await line.say(b"3\r\none\r\n3\r\ntwo\r\n")
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.request(b"GET", b"/", []) as response:
            assert await response.read_chunk() == b"onetwo"


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_an_answer_may_be_cut_into_packets_anywhere(size: int) -> None:
    text = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nX-One: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;note=x\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: z\r\n\r\n"
    )
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    response, body = await answer_of(*pieces)
    assert response.status == 201
    assert response.headers == [(b"x-one", b"a"), (b"transfer-encoding", b"chunked")]
    assert body == b"hello world"


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    _, body = await answer_of(b"HTTP/1.1 200 OK\r\n\r\nhello", b" world")
    assert body == b"hello world"
    _, body = await answer_of(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nold")
    assert body == b"old"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_an_answer_without_body_is_complete_with_its_head(method: bytes, head: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(head)
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        assert await whole(await pool.request(method, b"/", [])) == b""


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    response, _ = await answer_of(
        b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n"
    )
    assert response.status == 302
    assert (b"location", b"http://elsewhere/") in response.headers


# ---- Requests ----------------------------------------------------------------------------


async def test_a_request_is_written_as_given() -> None:
    heard: list[bytes] = []

    async def script(line: Line) -> None:
        heard.append(await line.request())
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        headers = [(b"accept", b"*/*"), (b"x-name", b"gr\xc3\xb6\xc3\x9fe")]
        await whole(await pool.request(b"POST", b"/a?b=c%20d", headers, b"body"))
    assert heard == [
        b"POST /a?b=c%%20d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept: */*\r\n"
        b"x-name: gr\xc3\xb6\xc3\x9fe\r\ncontent-length: 4\r\n\r\nbody" % server.port
    ]


async def test_a_request_without_body_announces_none(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    arrived = await echoed(pool, b"GET", b"/fake/echo", [])
    assert arrived["headers"] == [["host", f"127.0.0.1:{pool.port}"]]


async def test_a_large_body_arrives_whole(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    arrived = await echoed(pool, b"POST", b"/fake/echo", [], b"x" * 20_000_000)
    assert arrived["length"] == 20_000_000


async def test_framing_headers_of_the_client_are_never_sent(
    served: tuple[Engine, EnginePool],
) -> None:
    _, pool = served
    smuggled = [
        (b"host", b"elsewhere"),
        (b"content-length", b"100"),
        (b"transfer-encoding", b"chunked"),
        (b"expect", b"100-continue"),
        (b"connection", b"close"),
        (b"upgrade", b"h2c"),
        (b"x-kept", b"yes"),
    ]
    arrived = await echoed(pool, b"POST", b"/fake/echo", smuggled, b"body")
    host = ["host", f"127.0.0.1:{pool.port}"]
    assert arrived["headers"] == [host, ["x-kept", "yes"], ["content-length", "4"]]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        (b"GET", b"/a b", []),
        (b"GET", b"/a\r\nx: y", []),
        (b"GET\n", b"/", []),
        (b"GET", b"/", [(b"x", b"a\r\ny: b")]),
        (b"GET", b"/", [(b"x", b"a\nb")]),
        (b"GET", b"/", [(b"x", b"a\rb")]),
        (b"GET", b"/", [(b"x\r\ny", b"a")]),
    ],
)
async def test_a_line_break_cannot_be_smuggled_to_the_engine(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    pool = EnginePool("127.0.0.1", 9)
    with pytest.raises(InvalidRequest):
        await pool.request(method, target, headers)


def test_headers_that_end_at_a_proxy_are_not_forwarded() -> None:
    headers = [
        (b"accept", b"*/*"),
        (b"connection", b"keep-alive, X-Private"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-authorization", b"Basic x"),
        (b"proxy-connection", b"keep-alive"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"x-private", b"for the proxy only"),
        (b"content-length", b"5"),
    ]
    assert forwardable(headers) == [(b"accept", b"*/*"), (b"content-length", b"5")]


def test_forwarding_leaves_its_argument_alone() -> None:
    headers = [(b"accept", b"*/*")]
    forwardable(headers).append((b"more", b"x"))
    assert headers == [(b"accept", b"*/*")]


# ---- Kept connections --------------------------------------------------------------------


async def test_one_connection_serves_requests_in_turn(served: tuple[Engine, EnginePool]) -> None:
    engine, pool = served
    for _ in range(5):
        await whole(await pool.request(b"POST", CHAT, [], b"{}"))
        await whole(await pool.request(b"POST", CHAT, [], asking(stream=True)))
    assert engine.stats.connections == 1
    assert repr(pool) == f"<EnginePool 127.0.0.1:{pool.port} 0 active, 1 idle>"


async def test_the_connection_used_last_is_taken_first() -> None:
    async def script(line: Line) -> None:
        number = b"%d" % len(server.lines)
        while True:
            await line.request()
            await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + number)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        await asyncio.gather(*(pool.request(b"GET", b"/", []) for _ in range(3)))
        before = await whole(await pool.request(b"GET", b"/", []))
        assert [await whole(await pool.request(b"GET", b"/", [])) for _ in range(3)] == [before] * 3
        pool.close()


async def test_requests_at_once_have_connections_of_their_own(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    count = IDLE_LIMIT + 20
    body = asking(stream=True, fake={"first": 0.05})

    async def one() -> bytes:
        return await whole(await pool.request(b"POST", CHAT, [], body))

    answers = await asyncio.gather(*(one() for _ in range(count)))
    assert len(answers) == count
    assert all(answer.endswith(b"data: [DONE]\n\n") for answer in answers)
    assert engine.stats.connections == count
    assert repr(pool).endswith(f" 0 active, {IDLE_LIMIT} idle>")


async def test_a_complete_answer_frees_its_connection_before_it_is_read(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    first = await pool.request(b"POST", CHAT, [], b"{}")
    second = await pool.request(b"POST", CHAT, [], b"{}")
    assert await whole(first) == await whole(second)
    assert engine.stats.connections == 1


async def test_closing_an_answer_early_closes_its_connection(
    served: tuple[Engine, EnginePool],
) -> None:
    engine, pool = served
    body = asking(stream=True, fake={"chunks": 10_000, "drip": 0.01})
    async with await pool.request(b"POST", CHAT, [], body) as response:
        await response.read_chunk()
    assert repr(pool).endswith(" 0 active, 0 idle>")
    await until(lambda: engine.stats.aborted == 1)


async def test_closing_twice_gives_back_once(served: tuple[Engine, EnginePool]) -> None:
    _, pool = served
    response = await pool.request(b"POST", CHAT, [], b"{}")
    assert await whole(response)
    response.close()
    response.close()
    assert repr(pool).endswith(" 0 active, 1 idle>")


@pytest.mark.parametrize("how", [b"connection: close\r\n", b""], ids=["header", "http/1.0"])
async def test_a_connection_that_will_be_closed_is_not_kept(how: bytes) -> None:
    async def script(line: Line) -> None:
        await line.request()
        version = b"1.1" if how else b"1.0"
        await line.say(b"HTTP/" + version + b" 200 OK\r\n" + how + b"content-length: 2\r\n\r\nok")
        await line.left()

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        assert await whole(await pool.request(b"GET", b"/", [])) == b"ok"
        assert repr(pool).endswith(" 0 active, 0 idle>")


# ---- Flow control ------------------------------------------------------------------------


async def test_a_slow_reader_holds_the_engine_back() -> None:
    total, piece = 256, b"x" * 1_000_000
    sent = 0

    async def script(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (total * len(piece)))
        for _ in range(total):
            await line.say(piece)
            sent += len(piece)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        async with await pool.request(b"GET", b"/", []) as response:
            seen = -1
            while sent != seen:
                seen = sent
                await asyncio.sleep(0.1)
            # The system's own socket buffers take a few megabytes on top of ours.
            assert sent < 64_000_000
            first = await response.read_chunk()
            assert len(first) <= 2 * BUFFER_LIMIT
            size = len(first)
            async for chunk in response:
                size += len(chunk)
        assert size == total * len(piece)
