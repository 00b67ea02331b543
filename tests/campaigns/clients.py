"""Clients of the chaos campaign: each request is answered once, refused with a reason, or left."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LIMIT_SECONDS = 120.0
"""A request that takes longer counts as lost."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool
    """Its framing says that it ended, and nothing came after."""


@dataclass
class Tally:
    """What became of every request."""

    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Requests that were neither answered once nor refused with a reason."""

    def note(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    @property
    def settled(self) -> int:
        return sum(self.outcomes.values()) + len(self.wrong)


class Clients:
    """Keeps a number of requests going."""

    def __init__(self, port: int, models: list[str], tally: Tally, chance: random.Random) -> None:
        self._port = port
        self._models = models
        self._tally = tally
        self._chance = chance

    async def run(self, count: int, until: float) -> None:
        await asyncio.gather(*(self._client(until) for _ in range(count)))

    async def _client(self, until: float) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < until:
            await self.one(self._chance.choice(self._models))
            await asyncio.sleep(self._chance.expovariate(20))

    async def one(self, model: str) -> str:
        """Send one request and note what became of it."""
        body = {"model": model, "messages": [], "stream": self._chance.random() < 0.5}
        fault = self._fault()
        if fault:
            body["fake"] = fault
        patience = self._chance.choice([0.02, 0.2, 1.0]) if self._chance.random() < 0.2 else None
        self._tally.sent += 1
        try:
            outcome = await self._send(body, patience)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            outcome = f"wrong: {type(error).__name__} {error}"
        if outcome.startswith("wrong"):
            self._tally.wrong.append(f"{outcome} for {body}")
        else:
            self._tally.note(outcome)
        return outcome

    def _fault(self) -> dict[str, Any]:
        """Most requests ask for none."""
        kind = self._chance.random()
        if kind < 0.60:
            return {}
        if kind < 0.72:
            return {"chunks": 20, "drip": 0.02}
        if kind < 0.82:
            return {"first": 0.3}
        if kind < 0.88:
            return {"status": 500}
        if kind < 0.93:
            return {"cut_after": 2, "chunks": 6}
        if kind < 0.96:
            return {"die_after": 2, "chunks": 6}
        return {"bytes": 200_000}

    async def _send(self, body: dict[str, Any], patience: float | None) -> str:
        try:
            async with asyncio.timeout(patience or LIMIT_SECONDS):
                reply = await self._exchange(json.dumps(body).encode())
        except TimeoutError:
            return "left" if patience else "wrong: no answer"
        return judge(reply, body)

    async def _exchange(self, body: bytes) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            return await _read(reader)
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    try:
        body, complete = await _body(reader, headers)
        rest = await reader.read(1)
    except (OSError, asyncio.IncompleteReadError):
        return Reply(status, headers, b"", False)
    return Reply(status, headers, body, complete and not rest)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[bytes, bool]:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"])), True
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body, True


def judge(reply: Reply, body: dict[str, Any]) -> str:
    """What became of a request, in a word or two; "wrong: …" when it may not be so."""
    if reply.status != 200:
        return _judge_refusal(reply, body)
    if not reply.complete:
        return "broken off"  # After its answer began there is no other way to tell.
    if not body["stream"]:
        json.loads(reply.body)
        return "answered"
    events = [line for line in reply.body.split(b"\n\n") if line.startswith(b"data: ")]
    if events and events[-1] == b"data: [DONE]":
        done = events.count(b"data: [DONE]")
        return "answered" if done == 1 else f"wrong: answered {done} times"
    told = b'"error"' in (events[-1] if events else b"")
    return "broken off with a reason" if told else "wrong: a stream without an end"


def _judge_refusal(reply: Reply, body: dict[str, Any]) -> str:
    error = json.loads(reply.body).get("error", {})
    if not error.get("message") or not reply.complete:
        return f"wrong: {reply.status} without a reason"
    if reply.status == 500 and body.get("fake", {}).get("status") == 500:
        return "refused by the engine"
    if reply.status in (429, 502, 503, 504):
        return f"refused: {reply.status} {error.get('code')}"
    return f"wrong: {reply.status} {error}"
