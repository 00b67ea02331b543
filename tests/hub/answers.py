"""Sends answers, whole or with a fault."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.hub.content import Asked, Blob, Fault

CHUNK = 1024 * 1024
SMALL = 16 * 1024


@dataclass
class Answer:
    """A status and headers, with a body or a blob."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    blob: Blob | None = None

    @classmethod
    def json(cls, value: Any, headers: dict[str, str] | None = None) -> Answer:
        body = json.dumps(value).encode()
        return cls(200, {"Content-Type": "application/json", **(headers or {})}, body)

    def send(self, handler: BaseHTTPRequestHandler, fault: Fault | None) -> None:
        status, headers, body = self.status, self.headers, self.body
        if fault and fault.kind == "status":
            status, headers, body = fault.status, fault.headers, b"{}"
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()


def send_blob(
    handler: BaseHTTPRequestHandler,
    answer: Answer,
    asked: Asked,
    fault: Fault | None,
    released: threading.Event,
) -> None:
    """A file or the part of it that was asked for."""
    blob = answer.blob
    assert blob is not None
    kind = fault.kind if fault else ""
    etag = answer.headers.get("ETag", "")
    span = _span(asked, blob.size, etag)
    if kind in ("no-ranges", "no-length", "page", "drip"):
        span = None
    if kind == "no-range-416" and span and not asked.is_probe:
        Answer(416, {"Content-Range": f"bytes */{blob.size}"}).send(handler, None)
        return
    if span and span[0] >= blob.size:
        Answer(416, {"Content-Range": f"bytes */{blob.size}"}).send(handler, None)
        return
    if kind == "page":
        Answer(200, {"Content-Type": "text/html"}, b"<html>Sign in</html>" * 50).send(handler, None)
        return
    if kind == "wrong-range" and span:
        span = (span[0] + 1, span[1])
    first, last = span or (0, blob.size - 1)
    handler.send_response(206 if span else 200)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if span:
        handler.send_header("Content-Range", f"bytes {first}-{last}/{blob.size}")
    if kind == "no-length":
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Content-Length", str(last + 1 - first))
    handler.end_headers()
    _Body(handler, blob, fault, released).send(first, last + 1 - first)


@dataclass
class _Body:
    handler: BaseHTTPRequestHandler
    blob: Blob
    fault: Fault | None
    released: threading.Event

    def send(self, start: int, count: int) -> None:
        kind = self.fault.kind if self.fault else ""
        after = self.fault.after if self.fault else 0
        self.handler.wfile.flush()
        if kind == "no-length":
            self._chunked(start, count)
        elif kind == "cut" and after < count:
            self._plain(start, after)
            self._reset()
        elif kind in ("stall", "drip") and after < count:
            self._plain(start, after)
            self.handler.wfile.flush()
            self.released.wait()
            self._reset()
        elif kind == "corrupt" and after < count:
            self._plain(start, after)
            byte = self._read(start + after, 1)
            self.handler.wfile.write(bytes([byte[0] ^ 0xFF]))
            self._plain(start + after + 1, count - after - 1)
        elif kind == "rate":
            self._slowly(start, count, after)
        else:
            self._plain(start, count)
        self.handler.wfile.flush()

    def _plain(self, start: int, count: int) -> None:
        if isinstance(self.blob.source, Path):
            self._from_file(self.blob.source, start, count)
            return
        view = memoryview(self.blob.source)[start : start + count]
        for at in range(0, len(view), CHUNK):
            self.handler.wfile.write(view[at : at + CHUNK])

    def _from_file(self, path: Path, start: int, count: int) -> None:
        self.handler.wfile.flush()
        with path.open("rb") as file:
            while count:
                sent = os.sendfile(
                    self.handler.connection.fileno(), file.fileno(), start, min(count, 4 * CHUNK)
                )
                if not sent:
                    return
                start, count = start + sent, count - sent

    def _slowly(self, start: int, count: int, rate: int) -> None:
        began, sent = time.monotonic(), 0
        step = max(SMALL, rate // 50)
        while sent < count:
            self._plain(start + sent, min(step, count - sent))
            sent += step
            ahead = sent / rate - (time.monotonic() - began)
            if ahead > 0 and self.released.wait(ahead):
                rate = 1 << 60

    def _chunked(self, start: int, count: int) -> None:
        while count:
            data = self._read(start, min(CHUNK, count))
            self.handler.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
            start, count = start + len(data), count - len(data)
        self.handler.wfile.write(b"0\r\n\r\n")

    def _read(self, start: int, count: int) -> bytes:
        if isinstance(self.blob.source, bytes):
            return self.blob.source[start : start + count]
        with self.blob.source.open("rb") as file:
            return os.pread(file.fileno(), count, start)

    def _reset(self) -> None:
        self.handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.close_connection = True
        self.handler.connection.close()


def _span(asked: Asked, size: int, etag: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if found is None or asked.headers.get("if-range", etag) != etag:
        return None
    first = int(found.group(1))
    return first, min(int(found.group(2) or size - 1), size - 1)
