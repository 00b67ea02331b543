from __future__ import annotations

import asyncio
import json
from typing import Any

from proxy_app.events import BACKLOG_BYTES, EventHub, EventStream, frame
from proxy_app.key_guard import CALLER
from proxy_app.keys import LOCAL


class Client:
    """An ASGI client of the event stream that can leave."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._left = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def receive(self) -> Any:
        await self._left.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._left.set()

    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    def events(self) -> list[tuple[str, Any]]:
        frames = self.body().split(b"\n\n")[:-1]
        envelopes = [json.loads(one.partition(b"\ndata:")[2]) for one in frames]
        return [(envelope["type"], json.loads(envelope["data"])) for envelope in envelopes]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_frame_has_exactly_the_documented_bytes() -> None:
    assert frame("logData", {"source": "proxy", "data": "a\nb"}) == (
        b'event:message\ndata:{"type":"logData",'
        b'"data":"{\\"source\\":\\"proxy\\",\\"data\\":\\"a\\\\nb\\"}"}\n\n'
    )


async def test_a_new_listener_is_told_the_state_at_once_and_then_what_happens() -> None:
    hub, client = EventHub(), Client()
    stream = EventStream(hub, lambda: [("modelStatus", []), ("metrics", [])])
    running = asyncio.create_task(stream({CALLER: LOCAL}, client.receive, client.send))
    await until(lambda: len(client.events()) == 2)
    hub.publish("modelStatus", [{"id": "a"}])
    await until(lambda: len(client.events()) == 3)
    assert client.events() == [
        ("modelStatus", []),
        ("metrics", []),
        ("modelStatus", [{"id": "a"}]),
    ]
    client.leave()
    await running


async def test_it_forgets_a_listener_that_left() -> None:
    hub, client = EventHub(), Client()
    running = asyncio.create_task(EventStream(hub, list)({}, client.receive, client.send))
    await until(lambda: client.messages)
    client.leave()
    await running
    hub.publish("metrics", [])
    assert client.events() == []


async def test_closing_ends_every_stream() -> None:
    hub, client = EventHub(), Client()
    running = asyncio.create_task(EventStream(hub, list)({}, client.receive, client.send))
    await until(lambda: client.messages)
    hub.close()
    async with asyncio.timeout(10):
        await running
    assert client.messages[-1] == {"type": "http.response.body", "body": b""}


async def test_a_listener_that_does_not_read_is_let_go_instead_of_filling_memory() -> None:
    hub = EventHub()
    with hub.listen() as listener:
        for _ in range(5):
            hub.publish("logData", {"source": "proxy", "data": "x" * (BACKLOG_BYTES // 4)})
        assert listener.ended
        assert len(await listener.take()) < 2 * BACKLOG_BYTES


async def test_it_is_only_read() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read of a request that is refused")

    scope = {"type": "http", "method": "POST", "path": "/api/events"}
    await EventStream(EventHub(), list)(scope, receive, send)
    assert sent[0]["status"] == 405
    assert (b"allow", b"GET") in sent[0]["headers"]
    assert json.loads(sent[1]["body"]).keys() == {"error", "details", "code"}
