from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from proxy_app.http_protocol import Protocol, _without_other_protocols
from proxy_app.incoming import LINK


@pytest.mark.parametrize("offer", [b"Upgrade: h2c", b"upgrade:h2c", b"UPGRADE: TLS/1.2, h2c"])
def test_an_offer_of_another_protocol_is_taken_out(offer: bytes) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\nA: b\r\n\r\nbody"
    assert _without_other_protocols(request) == (b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nbody")


def test_web_sockets_and_bodies_are_left_alone() -> None:
    request = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\r\nUpgrade: h2c\r\n"
    assert _without_other_protocols(request) == request


class Hasty(Protocol):
    head_seconds = 0.05


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("begins", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
@pytest.mark.parametrize("after_another", [False, True])
async def test_a_head_that_never_ends_costs_its_client_the_connection(
    begins: bytes, after_another: bool
) -> None:
    config = uvicorn.Config(app, http=Hasty, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: Hasty(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(20):
            if after_another:
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
                begins = begins or b"G"
            writer.write(begins)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
    finally:
        writer.close()
        server.close()


async def test_nonsense_behind_a_request_ends_it_without_a_word_in_its_answer() -> None:
    told = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"too late"})
        told.set()

    config = uvicorn.Config(waits, http=Protocol, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(20):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await reader.readuntil(b"begun")
            writer.write(b"\x00 nonsense\r\n\r\n")
            await told.wait()
            with suppress(ConnectionResetError):
                answer += await reader.read()
    finally:
        writer.close()
        server.close()
    assert answer.count(b"HTTP/1.1") == 1
    assert b"too late" not in answer


async def test_a_request_with_another_behind_it_hears_that_its_client_left() -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope[LINK].on_leave = left.set
        begun.set()
        assert (await receive())["type"] == "http.disconnect"

    config = uvicorn.Config(waits, http=Protocol, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    async with asyncio.timeout(20):
        writer.write(2 * b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        await left.wait()
        await asyncio.gather(*state.tasks)
    server.close()


@pytest.mark.parametrize("length", [[], [(b"content-length", b"7")]])
async def test_an_old_client_gets_its_answer_without_chunks(length: list[Any]) -> None:
    """HTTP/1.0 knows none, and took their lengths for text."""

    async def speaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b" two"})

    config = uvicorn.Config(speaks, http=Protocol, lifespan="off", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(20):
            writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        server.close()
    assert b"chunked" not in head
    assert body == b"one two"


Answered = tuple[str, int, list[tuple[bytes, bytes]], bytes]


@pytest.mark.parametrize(
    ("asked", "framing", "body"),
    [
        (("GET", 200, [], b"abc"), b"transfer-encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
        (("GET", 200, [(b"Content-Length", b"3")], b"abc"), b"content-length: 3", b"abc"),
        (("GET", 200, [(b"connection", b"close")], b""), b"connection: close", b"0\r\n\r\n"),
        (("HEAD", 200, [(b"content-length", b"3")], b""), b"content-length: 3", b""),
        (("GET", 204, [], b""), b"", b""),
    ],
)
async def test_an_answer_goes_out_in_one_piece_and_says_how_its_body_comes(
    asked: Answered, framing: bytes, body: bytes
) -> None:
    method, status, headers, content = asked

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    written = await pieces_of(answering, b"%s / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode())
    head, _, rest = b"".join(written).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kinds = (b"transfer-encoding", b"content-length", b"connection")
    said = [line for line in lines if line.partition(b":")[0] in kinds]
    assert (len(written), rest) == (1, body)
    assert framing in said or not (framing or said)
    assert len(said) == len(set(said))


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("before", [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")])
async def test_a_header_that_cannot_be_sent_costs_its_answer_the_connection(
    before: tuple[bytes, bytes], version: bytes
) -> None:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        headers = [before, (b"x-bad", b"a\r\nb: c")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    written = Written()
    assert await pieces_of(answering, b"GET / HTTP/%s\r\nHost: a\r\n\r\n" % version, written) == []
    assert written.closed


async def test_a_head_waits_for_nothing_that_does_not_come_at_once() -> None:
    go_on = asyncio.Event()

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"late"})

    head, body = await pieces_of(answering, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert body == b"4\r\nlate\r\n0\r\n\r\n"


class Written(asyncio.Transport):
    """Keeps what is written, as it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def pieces_of(answering: Any, request: bytes, written: Written | None = None) -> list[bytes]:
    """What an application's answer is written in."""
    config = uvicorn.Config(answering, http=Protocol, lifespan="off", log_config=None)
    config.load()
    state, written = ServerState(), written or Written()
    protocol = Protocol(config, state, {})
    protocol.connection_made(written)
    protocol.data_received(request)
    await asyncio.wait(list(state.tasks))
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    return written.pieces
