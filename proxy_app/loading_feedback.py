"""Signs of life for a client that waits for its model to load, for those that give up early.

A streaming answer then begins before the engine's does: with status 200 and comments, which
clients of event streams skip. What is said afterwards and is no stream, an error above all, comes
as an error event, as there is no other way left to say it.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from proxy_app.answer_headers import NOSNIFF
from proxy_app.error_shapes import as_event
from proxy_app.incoming import Message, Send

COMMENT = b": the model is loading\n\n"

_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
        NOSNIFF,
        (b"x-accel-buffering", b"no"),
    ],
}


class LoadingFeedback:
    """Sends comments every `seconds` inside its block until the answer begins; use it as `send`."""

    def __init__(self, send: Send, path: str, seconds: float) -> None:
        self._send = send
        self._path = path
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._answered = False
        self._error: list[bytes] | None = None
        """The pieces of an answer that cannot be passed on as a stream."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._beat(), name="loading feedback")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            if not self._begun:
                self._begun = True
                await self._send(_HEAD)
            await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def __call__(self, message: Message) -> None:
        if not self._answered:
            self._answered = True
            await self._stop()
        if not self._begun:
            await self._send(message)
        elif message["type"] == "http.response.start":
            if not _is_stream(message):
                self._error = []
        elif self._error is None:
            await self._send(message)
        else:
            self._error.append(message.get("body", b""))
            if not message.get("more_body", False):
                event = as_event(self._path, b"".join(self._error))
                await self._send({"type": "http.response.body", "body": event})


def _is_stream(message: Message) -> bool:
    """Whatever its status: events inside of an event could not be read."""
    return any(
        name == b"content-type" and b"text/event-stream" in value
        for name, value in message["headers"]
    )
