"""The hub and its store: two servers on two ports."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.answers import Answer, send_blob
from tests.hub.content import Asked, Blob, Fault, Repo

PAGE = 1000


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests leave when they like."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Hub:
    """Repositories, faults, and what was asked so far. Change them at any moment."""

    def __init__(self, repos: Mapping[str, Repo] | None = None) -> None:
        self.repos: dict[str, Repo] = dict(repos or {})
        self.plain: dict[str, Blob] = {}
        """Files that the store gives under /files/ without a hub."""
        self.faults: list[Fault] = []
        self.choose: Callable[[Asked], Fault | None] = self._next_fault
        self.asked: list[Asked] = []
        self.page = PAGE
        self.elsewhere = ""
        """Where the hub redirects to instead of its store."""
        self.released = threading.Event()
        """Ends every stall."""
        self._lock = threading.Lock()
        self._hub = Server(("127.0.0.1", 0), _handler(self, "hub"))
        self._store = Server(("127.0.0.1", 0), _handler(self, "store"))
        self.url = f"http://127.0.0.1:{self._hub.server_port}"
        self.store_url = f"http://127.0.0.1:{self._store.server_port}"

    def start(self) -> None:
        for server in (self._hub, self._store):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        for server in (self._hub, self._store):
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: Mapping[str, bytes | Path], token: str = "") -> Repo:
        """A repository of large files."""
        repo = Repo({path: Blob(source) for path, source in files.items()}, token)
        self.repos[name] = repo
        return repo

    def file_url(self, repo: str, path: str) -> str:
        return f"{self.url}/{repo}/resolve/main/{quote(path)}"

    def asked_of(self, at: str) -> list[Asked]:
        return [asked for asked in list(self.asked) if asked.at == at]

    def note(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def _next_fault(self, asked: Asked) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.at == asked.at and (fault.probe or not asked.is_probe):
                    fault.times -= fault.times > 0
                    return fault
        return None

    # ---- What the hub answers --------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        """What comes back for a request to the hub, faults left out."""
        address = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        parts = unquote(address.path).strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) == 2:
            return Answer.json(self._search(query))
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:], query)
        if len(parts) > 4 and parts[2] == "resolve":
            return self._resolve("/".join(parts[:2]), "/".join(parts[4:]), asked)
        return Answer(404, {"X-Error-Code": "EntryNotFound"})

    def _search(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        words = query.get("search", "").lower().split()
        found = [
            self._info(name, repo)
            for name, repo in self.repos.items()
            if all(word in name.lower() for word in words)
            and query.get("filter", "gguf") in repo.tags
        ]
        found.sort(key=lambda entry: -entry["downloads"])
        return found[: int(query.get("limit", 30))]

    def _api(self, name: str, rest: list[str], query: Mapping[str, str]) -> Answer:
        repo = self.repos.get(name)
        if repo is None:
            return Answer(401, {"X-Error-Code": "RepoNotFound"})
        if rest[:1] == ["tree"]:
            return self._tree(name, repo, query)
        return Answer.json(self._info(name, repo))

    def _tree(self, name: str, repo: Repo, query: Mapping[str, str]) -> Answer:
        start = int(query.get("cursor", 0))
        paths = sorted(repo.files)
        entries = []
        for path in paths[start : start + self.page]:
            blob = repo.files[path]
            entry: dict[str, Any] = {"type": "file", "path": path, "size": blob.size}
            if blob.large:
                entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 135}
            entries.append(entry)
        headers = {}
        if start + self.page < len(paths):
            following = f"/api/models/{name}/tree/main?recursive=true&cursor={start + self.page}"
            headers["Link"] = f'<{self.url}{following}>; rel="next"'
        return Answer.json(entries, headers)

    def _info(self, name: str, repo: Repo) -> dict[str, Any]:
        return {
            "id": name,
            "modelId": name,
            "author": name.split("/")[0],
            "sha": repo.commit,
            "gated": "auto" if repo.token else False,
            "private": False,
            "downloads": repo.downloads,
            "likes": 0,
            "lastModified": "2025-01-01T00:00:00.000Z",
            "tags": list(repo.tags),
            "siblings": [{"rfilename": path} for path in repo.files],
        }

    def _resolve(self, name: str, path: str, asked: Asked) -> Answer:
        repo = self.repos.get(name)
        if repo is None:
            return Answer(401, {"X-Error-Code": "RepoNotFound"})
        if repo.token and asked.token != repo.token:
            status = 403 if asked.token else 401
            return Answer(status, {"X-Error-Code": "GatedRepo"})
        blob = repo.files.get(path)
        if blob is None:
            return Answer(404, {"X-Error-Code": "EntryNotFound"})
        if not blob.large:
            return Answer(200, {"ETag": blob.etag, "X-Repo-Commit": repo.commit}, blob=blob)
        where = self.elsewhere or f"{self.store_url}/blobs/{quote(name)}/{quote(path)}?signature=1"
        return Answer(
            302,
            {
                "Location": where,
                "X-Repo-Commit": repo.commit,
                "X-Linked-Size": str(blob.size),
                "X-Linked-Etag": blob.etag,
            },
        )

    def stored(self, asked: Asked) -> Answer:
        """What comes back for a request to the store."""
        parts = unquote(urlsplit(asked.path).path).strip("/").split("/")
        blob = None
        if parts[0] == "blobs":
            repo = self.repos.get("/".join(parts[1:3]))
            blob = repo.files.get("/".join(parts[3:])) if repo else None
        elif parts[0] == "files":
            blob = self.plain.get("/".join(parts[1:]))
        if blob is None:
            return Answer(404)
        return Answer(200, {"ETag": f'"{blob.sha256[:32]}"'}, blob=blob)


def _handler(hub: Hub, at: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(at, self.path, headers)
            hub.note(asked)
            fault = hub.choose(asked)
            if fault and fault.kind == "silent":
                hub.released.wait()
                self.close_connection = True
                return
            answer = hub.answer(asked) if at == "hub" else hub.stored(asked)
            if answer.blob is None or (fault and fault.kind == "status"):
                answer.send(self, fault)
            else:
                send_blob(self, answer, asked, fault, hub.released)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running_hub(repos: Mapping[str, Repo] | None = None) -> Iterator[Hub]:
    """A started hub, stopped at the end."""
    hub = Hub(repos)
    hub.start()
    try:
        yield hub
    finally:
        hub.close()
