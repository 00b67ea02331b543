from __future__ import annotations

import asyncio
import json
from typing import Any

from proxy_app.errors import ModelFailedToStart
from proxy_app.forward import answer_error
from proxy_app.loading_feedback import COMMENT, LoadingFeedback

CHAT = "/v1/chat/completions"
STREAM = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}


class Client:
    """Keeps what was sent; `heard` is set with the first piece of a body."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.heard = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.heard.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def heads(self) -> list[int]:
        return [message["status"] for message in self.sent if "status" in message]


async def test_an_answer_that_comes_soon_is_passed_on_untouched() -> None:
    client = Client()
    async with LoadingFeedback(client.send, CHAT, 60) as feedback:
        await feedback(STREAM)
        await feedback({"type": "http.response.body", "body": b"data: x\n\n"})
    assert client.sent == [STREAM, {"type": "http.response.body", "body": b"data: x\n\n"}]


async def test_comments_come_until_the_answer_does_and_there_is_one_head() -> None:
    client = Client()
    async with LoadingFeedback(client.send, CHAT, 0.001) as feedback:
        await client.heard.wait()
        await feedback(STREAM)
        silent = len(client.sent)
        await asyncio.sleep(0.01)
        assert len(client.sent) == silent
        await feedback({"type": "http.response.body", "body": b"data: x\n\n"})
    assert client.heads == [200]
    assert client.body.replace(COMMENT, b"") == b"data: x\n\n"


async def test_an_error_after_that_comes_as_an_event() -> None:
    client = Client()
    async with LoadingFeedback(client.send, CHAT, 0.001) as feedback:
        await client.heard.wait()
        await answer_error(feedback, CHAT, ModelFailedToStart("m", "no memory"))
    assert client.heads == [200]
    event = client.body.replace(COMMENT, b"")
    assert event.startswith(b"data: ") and event.endswith(b"\n\n")
    assert json.loads(event[6:])["error"]["code"] == "model_failed_to_start"
    assert not client.sent[-1].get("more_body", False)


async def test_an_answer_that_is_no_stream_comes_as_an_event_too() -> None:
    client = Client()
    async with LoadingFeedback(client.send, "/v1/messages", 0.001) as feedback:
        await client.heard.wait()
        await feedback({"type": "http.response.start", "status": 400, "headers": []})
        await feedback({"type": "http.response.body", "body": b'{"a"', "more_body": True})
        await feedback({"type": "http.response.body", "body": b":1}"})
    assert client.body.replace(COMMENT, b"") == b'event: error\ndata: {"a":1}\n\n'


async def test_a_stream_of_another_status_is_passed_on_as_a_stream() -> None:
    client = Client()
    async with LoadingFeedback(client.send, CHAT, 0.001) as feedback:
        await client.heard.wait()
        await feedback({**STREAM, "status": 500})
        await feedback({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await feedback({"type": "http.response.body", "body": b"data: y\n\n"})
    assert client.body.replace(COMMENT, b"") == b"data: x\n\ndata: y\n\n"
