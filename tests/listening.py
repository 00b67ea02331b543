"""A client of `/api/events` over real HTTP, reading in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tests.server import RunningServer, wait_until


class Heard:
    """Everything one listener heard, in order."""

    def __init__(self, reply: requests.Response) -> None:
        self._reply = reply
        self.events: list[tuple[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        try:
            for piece in self._reply.iter_content(None):
                *frames, rest = (rest + piece).split(b"\n\n")
                for frame in frames:
                    if frame != b":":
                        envelope = json.loads(frame.removeprefix(b"event:message\ndata:"))
                        self.events.append((envelope["type"], json.loads(envelope["data"])))
        except (requests.RequestException, AttributeError):
            return  # The connection was closed.

    def of(self, kind: str) -> list[Any]:
        return [value for name, value in self.events if name == kind]

    def text(self, source: str) -> str:
        """All log text of one source."""
        return "".join(log["data"] for log in self.of("logData") if log["source"] == source)

    def wait_for(self, condition: Any, what: str) -> None:
        wait_until(condition, what, lambda: self.events[-20:])

    def close(self) -> None:
        self._reply.close()
        self._thread.join(timeout=30)


@contextmanager
def listening(server: RunningServer, count: int = 5) -> Iterator[Heard]:
    """A listener that has been told the state, in `count` messages, for the time of the block."""
    reply = requests.get(f"{server.url}/api/events", stream=True, timeout=60)
    heard = Heard(reply)
    try:
        heard.wait_for(lambda: len(heard.events) >= count, "the state")
        yield heard
    finally:
        heard.close()
