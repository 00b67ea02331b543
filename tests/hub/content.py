"""What the hub holds, and what it may do wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

BLOCK = 1024 * 1024


@dataclass
class Blob:
    """A file's content: bytes in memory or a file on disk."""

    source: bytes | Path
    large: bool = True
    """Kept in the store behind a redirect, as large files are; else answered by the hub itself."""

    @cached_property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        digest = hashlib.sha256()
        with self.source.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"' if self.large else f'"{self.sha256[:40]}"'


@dataclass
class Repo:
    """A repository. `token` is asked for when it is gated."""

    files: dict[str, Blob]
    token: str = ""
    downloads: int = 0
    tags: tuple[str, ...] = ("gguf",)

    @property
    def commit(self) -> str:
        text = "".join(f"{path}{blob.sha256}" for path, blob in sorted(self.files.items()))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Fault:
    """Something that goes wrong with the next `times` answers; -1: with all.

    cut: the connection ends after `after` bytes of the answer.
    stall: nothing more comes after `after` bytes. silent: not even a status comes.
    drip: without ranges, and nothing more comes after `after` bytes.
    corrupt: the byte at `after` of the answer is another one.
    status: `status` instead of the file, with `headers`.
    no-ranges: always the whole file. no-length: the whole file without its length.
    no-range-416: 416 to every range. wrong-range: another part than was asked for.
    page: a web page with status 200. rate: `after` bytes per second and connection.
    """

    kind: str
    times: int = 1
    after: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    at: str = "store"
    """Who does it: "store" or "hub"."""
    probe: bool = False
    """Whether the question for the first byte, which comes before the others, is hit as well."""


@dataclass(frozen=True)
class Asked:
    """A request that was made."""

    at: str
    path: str
    headers: dict[str, Any]

    @property
    def token(self) -> str:
        return str(self.headers.get("authorization", "")).removeprefix("Bearer ")

    @property
    def is_probe(self) -> bool:
        return self.headers.get("range") == "bytes=0-0"
