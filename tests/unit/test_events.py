from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from models_app.rights import Rights, Scope
from proxy_app.audience import KINDS
from proxy_app.events import BACKLOG_BYTES, EventHub, EventStream, Listener, frame
from proxy_app.key_guard import CALLER
from proxy_app.keys import LOCAL, Caller


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


def nothing(hears: Callable[[str], bool]) -> list[tuple[str, Any]]:
    return []


def test_a_frame_has_exactly_the_documented_bytes() -> None:
    assert frame("logData", {"source": "proxy", "data": "a\nb"}) == (
        b'event:message\ndata:{"type":"logData",'
        b'"data":"{\\"source\\":\\"proxy\\",\\"data\\":\\"a\\\\nb\\"}"}\n\n'
    )


async def test_a_new_listener_is_told_the_state_at_once_and_then_what_happens() -> None:
    hub, client = EventHub(), Client()
    stream = EventStream(hub, lambda hears: [("modelStatus", []), ("metrics", [])])
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
    running = asyncio.create_task(EventStream(hub, nothing)({}, client.receive, client.send))
    await until(lambda: client.messages)
    client.leave()
    await running
    hub.publish("metrics", [])
    assert client.events() == []


async def test_closing_ends_every_stream() -> None:
    hub, client = EventHub(), Client()
    running = asyncio.create_task(EventStream(hub, nothing)({}, client.receive, client.send))
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
    await EventStream(EventHub(), nothing)(scope, receive, send)
    assert sent[0]["status"] == 405
    assert (b"allow", b"GET") in sent[0]["headers"]
    assert json.loads(sent[1]["body"]).keys() == {"error", "details", "code"}


async def test_a_comment_keeps_the_line_open_while_nothing_happens() -> None:
    with EventHub().listen(Listener(quiet=0.01)) as listener:
        assert await listener.take() == b":\n\n"


async def test_who_only_uses_models_is_told_their_states_and_nothing_of_others() -> None:
    hub, client = EventHub(), Client()
    scope = {CALLER: Caller("laptop", 3, Rights(7, "Ada", frozenset({Scope.INFERENCE})))}
    state: list[tuple[str, Any]] = [(kind, []) for kind in KINDS]
    running = asyncio.create_task(
        EventStream(hub, lambda hears: state)(scope, client.receive, client.send)
    )
    await until(lambda: client.events())
    for kind in KINDS:
        hub.publish(kind, [{"secret": kind}])
    hub.publish("modelStatus", "last")
    await until(lambda: ("modelStatus", "last") in client.events())
    assert {kind for kind, _ in client.events()} == {"modelStatus"}
    client.leave()
    await running


async def test_the_head_is_the_documented_one() -> None:
    hub, client = EventHub(), Client()
    running = asyncio.create_task(EventStream(hub, nothing)({}, client.receive, client.send))
    await until(lambda: client.messages)
    assert client.messages[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-accel-buffering", b"no"),
        ],
    }
    client.leave()
    await running
