"""A server of releases that speaks GitHub's API, with faults that can be switched on."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.hub.answers import Answer, send_blob
from tests.hub.content import Asked, Blob, Fault
from tests.hub.server import Server

LIST = "/repos/ggml-org/llama.cpp/releases"


@dataclass
class Release:
    tag: str
    files: dict[str, Blob]
    digests: bool = True
    draft: bool = False
    prerelease: bool = False
    wrong_digests: bool = False


@dataclass
class ReleaseServer:
    """Releases, the newest first, and what was asked so far. Change them at any moment."""

    releases: list[Release] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """`at` is "list" or "asset"."""
    limited_until: int = 0
    """As GitHub does: 403 for the list until then, in seconds since the epoch."""
    asked: list[Asked] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Of the answers to questions for the list."""

    def __post_init__(self) -> None:
        self.released = threading.Event()
        self._server = Server(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.base}{LIST}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, tag: str, *files: Path, **values: Any) -> Release:
        """A release that is newer than the others."""
        release = Release(tag, {path.name: Blob(path) for path in files}, **values)
        self.releases.insert(0, release)
        return release

    def fault(self, asked: Asked) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.at == asked.at:
                fault.times -= fault.times > 0
                return fault
        return None

    def answer(self, asked: Asked) -> Answer:
        path = unquote(urlsplit(asked.path).path)
        if asked.at == "asset":
            _, _, tag, name = path.split("/")
            blob = next((one.files.get(name) for one in self.releases if one.tag == tag), None)
            return Answer(200, {"ETag": blob.etag}, blob=blob) if blob else Answer(404)
        if self.limited_until > time.time():
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(self.limited_until)}
            return Answer(403, headers, b'{"message": "API rate limit exceeded"}')
        if path.startswith(f"{LIST}/tags/"):
            tag = path.rpartition("/")[2]
            found = [self._told(one) for one in self.releases if one.tag == tag]
            return Answer.json(found[0]) if found else Answer(404, body=b"{}")
        body = json.dumps([self._told(one) for one in self.releases]).encode()
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        if asked.headers.get("if-none-match") == etag:
            return Answer(304, {"ETag": etag})
        return Answer(200, {"ETag": etag, "Content-Type": "application/json"}, body)

    def _told(self, release: Release) -> dict[str, Any]:
        assets = []
        for name, blob in release.files.items():
            asset: dict[str, Any] = {
                "name": name,
                "state": "uploaded",
                "size": blob.size,
                "browser_download_url": f"{self.base}/assets/{release.tag}/{name}",
            }
            if release.digests:
                digest = "0" * 64 if release.wrong_digests else blob.sha256
                asset["digest"] = f"sha256:{digest}"
            assets.append(asset)
        return {
            "tag_name": release.tag,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "published_at": "2026-01-01T00:00:00Z",
            "assets": assets,
        }


def _handler(server: ReleaseServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            at = "asset" if self.path.startswith("/assets/") else "list"
            asked = Asked(at, self.path, headers)
            server.asked.append(asked)
            fault, answer = server.fault(asked), server.answer(asked)
            if at == "list":
                server.statuses.append(fault.status if fault else answer.status)
            if answer.blob is None or (fault and fault.kind == "status"):
                answer.send(self, fault)
            else:
                send_blob(self, answer, asked, fault, server.released)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running_releases() -> Iterator[ReleaseServer]:
    server = ReleaseServer()
    server.start()
    try:
        yield server
    finally:
        server.close()


# ---- Archives of real builds ---------------------------------------------------------------


def slim_build(source: Path, target: Path) -> Path:
    """The installed llama-server with its doubled libraries as links, as a release has them."""
    target.mkdir(parents=True)
    firsts: dict[tuple[str, int], Path] = {}
    for path in sorted(source.iterdir(), key=lambda one: -len(one.name)):
        key = (path.name.partition(".so")[0], path.stat().st_size)
        place = target / path.name
        if ".so" in path.name and key in firsts:
            place.symlink_to(firsts[key].name)
        else:
            os.link(path, place) if _same_disk(path, target) else place.write_bytes(
                path.read_bytes()
            )
            place.chmod(0o755)
            firsts[key] = place
    return target


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def as_tar(build: Path, path: Path, tag: str) -> Path:
    """As llama.cpp publishes it for Linux: one folder at the top, links as links."""
    with tarfile.open(path, "w:gz", compresslevel=0) as out:
        for file in sorted(build.iterdir()):
            out.add(file, f"llama-{tag}/{file.name}")
    return path


def as_zip(build: Path, path: Path) -> Path:
    """As llama.cpp published it before: below build/bin, every file in full."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(build.iterdir()):
            out.write(file, f"build/bin/{file.name}")
    return path
