"""What the serving process and the pages process say to each other (pure).

Each message is its length in four bytes, the first the highest, and MessagePack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy_app.callers import as_heard, as_told
from proxy_app.incoming import Scope
from proxy_app.key_guard import CALLER

TOKEN: Final = "CLARACORE_PAGES_TOKEN"
"""The environment variable with what `Hello` has to say."""

PATIENCE_SECONDS: Final = 10.0
"""A page that takes longer is rendered by the serving process, and a pages process that says
nothing for so long is replaced."""

LENGTH_BYTES: Final = 4
LONGEST: Final = 64 * 1024 * 1024

_SCOPE_KEYS: Final = (
    "type",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "headers",
    "client",
    "server",
)


class Hello(msgspec.Struct, tag=True):
    """The pages process is ready. The token shows that it is the one that was started."""

    token: str


class Ask(msgspec.Struct, tag=True):
    """A request for a page, as ASGI's scope has it."""

    id: int
    scope: dict[str, Any]


class Page(msgspec.Struct, tag=True):
    """A whole answer. Status 0: the serving process is to render it itself.

    `never`: this page always, as it needs what is only there.
    """

    id: int
    status: int = 0
    never: bool = False
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class Question(msgspec.Struct, tag=True):
    """Something that only the serving process knows, by its name in `questions.py`."""

    id: int
    name: str


class Answer(msgspec.Struct, tag=True):
    """To a question. Not known: the serving process could not tell."""

    id: int
    known: bool
    value: Any = None


FromChild = Hello | Page | Question
FromServer = Ask | Answer

_encoder: Final = msgspec.msgpack.Encoder()


def packed(message: FromChild | FromServer) -> bytes:
    """The message as it is sent."""
    data = _encoder.encode(message)
    return len(data).to_bytes(LENGTH_BYTES) + data


def said_of(scope: Scope) -> dict[str, Any]:
    """What of a request's scope matters for a page."""
    said = {key: scope[key] for key in _SCOPE_KEYS if key in scope}
    caller = scope.get(CALLER)
    return said if caller is None else {**said, CALLER: as_told(caller)}


def scope_of(said: dict[str, Any]) -> dict[str, Any]:
    """The scope as the page's views expect it: with who calls, as the serving process found out."""
    caller = said.get(CALLER)
    return said if caller is None else {**said, CALLER: as_heard(caller)}


class Frames:
    """Cuts what comes in into the messages' texts. Raises ValueError for what is none."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The texts that are whole now."""
        self._received += data
        while len(self._received) >= LENGTH_BYTES:
            length = int.from_bytes(self._received[:LENGTH_BYTES])
            if length > LONGEST:
                raise ValueError(f"a message of {length} bytes")
            end = LENGTH_BYTES + length
            if len(self._received) < end:
                return
            text = bytes(self._received[LENGTH_BYTES:end])
            del self._received[:end]
            yield text
