"""What the fake engine says: bodies and events shaped like llama-server's."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

CHUNK_END = b"0\r\n\r\n"
"""Ends a body sent in chunked transfer encoding."""

REASONS = {200: b"OK", 404: b"Not Found", 500: b"Internal Server Error"}


@dataclass(frozen=True)
class Faults:
    """How one request is answered. Given as `"fake": {…}` in its JSON, or in an `x-fake` header."""

    first: float = 0
    """Seconds before the first byte of the answer."""
    drip: float = 0
    """Seconds between the chunks of a stream."""
    chunks: int = 0
    """How many chunks a stream has; 0 means one a word of `text`."""
    text: str = ""
    """What the model says; empty means "hello from" and the model's name."""
    bytes: int = 0
    """Bytes of padding in a JSON answer, or in each chunk of a stream."""
    status: int = 200
    """Anything else makes the answer an error object with this status."""
    never: bool = False
    """The answer never begins."""
    die_after: int | None = None
    """The process dies after this many chunks; for a JSON answer, in the middle of its body."""
    cut_after: int | None = None
    """As `die_after`, but only the connection is closed."""

    @classmethod
    def read(cls, given: Any) -> Faults:
        known = {field.name for field in fields(cls)}
        if not isinstance(given, dict) or not known.issuperset(given):
            raise ValueError(f"fake takes an object with {sorted(known)}, not {given!r}")
        return cls(**given)


def head(status: int, content_type: str, length: int | None) -> bytes:
    """Status line and headers; a length of None announces chunked transfer encoding."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    reason = REASONS.get(status, b"Status").decode()
    return (
        f"HTTP/1.1 {status} {reason}\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n"
        f"Content-Type: {content_type}\r\n{framing}\r\n\r\n"
    ).encode()


def json_reply(status: int, value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return head(status, "application/json; charset=utf-8", len(body)) + body


def error_reply(status: int, message: str, kind: str) -> bytes:
    return json_reply(status, {"error": {"code": status, "message": message, "type": kind}})


@lru_cache(maxsize=4096)
def _quoted(text: str) -> bytes:
    """As JSON; the same few pieces go out thousands of times a second."""
    return json.dumps(text).encode()


def frame(event: bytes) -> bytes:
    """One chunk of chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(event), event)


class Voice:
    """Renders the answers of one model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def text(self, faults: Faults) -> str:
        return faults.text or f"hello from {self.name}"

    def pieces(self, faults: Faults) -> list[str]:
        """The texts of a stream's chunks: the words, or `chunks` short ones."""
        if faults.chunks:
            return [f"{number} " for number in range(faults.chunks)]
        words = self.text(faults).split(" ")
        return [word if number == 0 else " " + word for number, word in enumerate(words)]

    def whole(self, path: str, faults: Faults) -> bytes:
        """The JSON answer of an inference path."""
        text = self.text(faults)
        value = self._whole(path, text)
        if faults.bytes:
            value["padding"] = "x" * faults.bytes
        return json_reply(200, value)

    def _whole(self, path: str, text: str) -> dict[str, Any]:
        if path == "/completion":
            return {"content": text, "stop": True, "model": self.name, "timings": self.timings(4)}
        if path == "/v1/embeddings":
            vector = {"object": "embedding", "index": 0, "embedding": [0.0, 0.6, 0.8]}
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            return {"object": "list", "model": self.name, "data": [vector], "usage": usage}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "text": text}
        kind = "text_completion"
        if path == "/v1/chat/completions":
            del choice["text"]
            choice["message"] = {"role": "assistant", "content": text}
            kind = "chat.completion"
        tokens = len(text.split())
        return {
            "id": "fake-1",
            "object": kind,
            "created": 1700000000,
            "model": self.name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": tokens,
                "total_tokens": 3 + tokens,
            },
            "timings": self.timings(tokens),
        }

    def event(self, path: str, text: str, faults: Faults) -> bytes:
        """One server-sent event; `sent` is this machine's monotonic clock in nanoseconds."""
        padding = b',"padding":"%b"' % (b"x" * faults.bytes) if faults.bytes else b""
        quoted, name = _quoted(text), _quoted(self.name)
        if path == "/completion":
            value = b'{"content":%b,"stop":false' % quoted
        elif path == "/v1/completions":
            value = b'{"object":"text_completion","choices":[{"index":0,"text":%b}]' % quoted
        else:
            value = (
                b'{"object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,'
                b'"delta":{"content":%b}}]' % quoted
            )
        return b'data: %b,"id":"fake-1","created":1700000000,"model":%b%b,"sent":%d}\n\n' % (
            value,
            name,
            padding,
            time.monotonic_ns(),
        )

    def last_events(self, path: str, count: int) -> bytes:
        """What follows the text: the usage, and OpenAI's end mark."""
        usage = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}
        if path == "/completion":
            last: dict[str, Any] = {"content": "", "stop": True, "timings": self.timings(count)}
            return b"data: " + json.dumps(last).encode() + b"\n\n"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        kind = "text_completion"
        if path == "/v1/chat/completions":
            choice["delta"] = {}
            kind = "chat.completion.chunk"
        else:
            choice["text"] = ""
        last = {
            "object": kind,
            "id": "fake-1",
            "created": 1700000000,
            "model": self.name,
            "choices": [choice],
            "usage": usage,
            "timings": self.timings(count),
        }
        return b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"

    def timings(self, count: int) -> dict[str, float]:
        return {
            "cache_n": 0,
            "prompt_n": 3,
            "prompt_ms": 3.0,
            "prompt_per_second": 1000.0,
            "predicted_n": count,
            "predicted_ms": 10.0,
            "predicted_per_second": count * 100.0,
        }
