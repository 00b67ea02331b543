"""What reaches a client of an answer that its engine breaks off, or leaves empty."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from proxy_app.errand import Errand
from proxy_app.errors import AnswerCut, EngineDiedMidStream
from proxy_app.forward import forward
from proxy_app.limits import Account, Limits
from proxy_app.records import Record
from proxy_app.upstream import EnginePool, UpstreamTimeouts
from tests.raw_server import Line, raw_server

PATH = "/v1/completions"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Client:
    """What was sent to it, and how the engine's answer went down in the record."""

    def __init__(self) -> None:
        self.heads: list[int] = []
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.ended = False
        self.record = Record(1, PATH, "fox", "fox", "127.0.0.1")

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.heads.append(message["status"])
            self.headers = dict(message["headers"])
        else:
            self.body += message["body"]
            self.ended = not message.get("more_body", False)


async def ask(
    client: Client, said: bytes, method: bytes = b"POST", accounts: Sequence[Account] = ()
) -> None:
    """Have an engine say this, and hang up."""

    async def script(line: Line) -> None:
        await line.request()
        await line.say(said)

    async with raw_server(script) as server:
        pool = EnginePool("127.0.0.1", server.port)
        engine: Any = SimpleNamespace(pool=pool, spec=SimpleNamespace(api_key=""))
        errand = Errand(method, PATH.encode(), [], b"{}", UpstreamTimeouts())
        errand.accounts = accounts
        await forward(engine, errand, PATH, client.send, client.record)


async def test_an_engine_that_dies_before_the_first_byte_leaves_room_for_another_status() -> None:
    client = Client()
    with pytest.raises(EngineDiedMidStream) as died:
        await ask(client, JSON + b"content-length: 9\r\n\r\n")
    assert died.value.status == 502
    assert (client.heads, client.body, client.record.status) == ([], b"", 0)


async def test_what_has_begun_is_cut() -> None:
    client = Client()
    with pytest.raises(AnswerCut):
        await ask(client, JSON + b"content-length: 9\r\n\r\n{")
    assert (client.heads, client.body, client.ended) == ([200], b"{", False)


async def test_a_stream_that_has_not_begun_ends_with_an_error_event() -> None:
    client = Client()
    await ask(client, EVENTS)
    assert (client.heads, client.ended) == ([200], True)
    assert client.body.startswith(b"data: ") and b"engine_died_mid_stream" in client.body


@pytest.mark.parametrize(
    ("said", "method", "status"),
    [
        (JSON + b"content-length: 0\r\n\r\n", b"POST", 200),
        (JSON + b"content-length: 9\r\n\r\n", b"HEAD", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"POST", 204),
    ],
)
async def test_an_answer_without_a_body_comes_to_its_end(
    said: bytes, method: bytes, status: int
) -> None:
    client = Client()
    await ask(client, said, method)
    assert (client.heads, client.body, client.ended) == ([status], b"", True)
    assert client.record.complete


async def test_how_limits_stand_is_told_in_headers_where_lines_cannot_be_sent() -> None:
    client, account = Client(), Account(Limits(requests_per_minute=9))
    await ask(client, JSON + b"content-length: 2\r\n\r\n{}", accounts=(account,))
    assert client.headers[b"x-ratelimit-remaining-requests"] == b"9"
    assert b"x-ratelimit-limit-tokens" not in client.headers
