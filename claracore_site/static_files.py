"""The files under `/static/`: from memory, compressed where that helps, past Django.

A page fetches thirty or more of them. Each through Django's middleware would cost a thread and
several milliseconds, in the process that streams answers. They come straight from the checkout and
the packages: no collect step stands between them and a page, and a file that changed is read anew.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.exceptions import SuspiciousFileOperation

from claracore_site.content_policy import HEADER, POLICY
from proxy_app.incoming import Receive, Scope, Send

FRESH_SECONDS: Final = 60
"""How long a browser asks no more: after an upgrade a page may be that old."""

LEAST_BYTES: Final = 512
"""What is shorter is not worth compressing."""

_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".map": "application/json",
}
"""What systems disagree about, and browsers insist on."""

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent. `packed` is None where compressing gains nothing."""

    path: Path
    changed: int
    plain: bytes
    packed: bytes | None
    kind: bytes
    tag: str

    @property
    def is_current(self) -> bool:
        try:
            return self.path.stat().st_mtime_ns == self.changed
        except OSError:
            return False


class StaticFiles:
    """An ASGI app before Django's, which answers what is not found."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._prefix = f"/{settings.STATIC_URL.strip('/')}/"
        self._known: dict[str, File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        file = None
        if path.startswith(self._prefix) and scope["method"] in ("GET", "HEAD"):
            file = await self._file(path[len(self._prefix) :])
        if file is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = answer(file, dict(scope["headers"]))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    async def _file(self, name: str) -> File | None:
        file = self._known.get(name)
        if file is not None and file.is_current:
            return file
        file = await sync_to_async(read, thread_sensitive=False)(name)
        if file is None:
            self._known.pop(name, None)
        else:
            self._known[name] = file
        return file


def read(name: str) -> File | None:
    """The file of that name, wherever Django finds it; None when there is none."""
    try:
        found: Any = finders.find(name)
    except SuspiciousFileOperation:
        return None
    if not found or not os.path.isfile(found):
        return None
    path = Path(found)
    changed, plain = path.stat().st_mtime_ns, path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    is_text = kind.startswith("text/") or kind in _TYPES.values()
    packed = gzip.compress(plain, mtime=0) if is_text and len(plain) >= LEAST_BYTES else None
    if packed is not None and len(packed) >= len(plain):
        packed = None
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    tag = hashlib.sha256(plain).hexdigest()[:24]
    return File(path, changed, plain, packed, kind.encode(), tag)


def answer(file: File, asked: dict[bytes, bytes]) -> tuple[int, _Headers, bytes]:
    """Status, headers and body for somebody who sent these headers (pure)."""
    packed = file.packed if takes_gzip(asked.get(b"accept-encoding", b"")) else None
    tag = f'"{file.tag}{"-gzip" if packed else ""}"'.encode()
    headers = [
        (b"etag", tag),
        (b"cache-control", b"public, max-age=%d" % FRESH_SECONDS),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
        (HEADER.lower().encode(), POLICY.encode()),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    known = [
        one.strip().removeprefix(b"W/") for one in asked.get(b"if-none-match", b"").split(b",")
    ]
    if tag in known or b"*" in known:
        return 304, headers, b""
    body = file.plain if packed is None else packed
    headers += [(b"content-type", file.kind), (b"content-length", b"%d" % len(body))]
    if packed is not None:
        headers.append((b"content-encoding", b"gzip"))
    return 200, headers, body


def takes_gzip(accepted: bytes) -> bool:
    """Whether `Accept-Encoding` names gzip, or anything, and does not rule it out (RFC 9110)."""
    weights: dict[str, str] = {}
    for one in accepted.decode("latin-1").lower().split(","):
        name, _, weight = one.partition(";")
        weights[name.strip()] = weight.replace(" ", "").removeprefix("q=")
    name = "gzip" if "gzip" in weights else "*"
    if name not in weights:
        return False
    try:
        return float(weights[name] or 1) > 0
    except ValueError:
        return False
