"""Uploads: a request body that may be large, kept in a file that has no name.

The first bytes stay in memory, what goes beyond them is written to a file in the server's home
(the system's own folder for temporary files is memory on many machines). The engine is asked for
only when all of it has arrived: a slow upload must not occupy a place at an engine.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from proxy_app.errors import NoRoom

IN_MEMORY = 256 * 1024
"""Bytes of an upload that are kept in memory, and the size of the pieces it is written in."""


class Spool:
    """Bytes in the order they came; read back piece by piece, with replacements."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pieces: list[bytes] = []
        self._pending = 0
        self._file: IO[bytes] | None = None
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    async def append(self, data: bytes) -> None:
        """Raises NoRoom when the file cannot take it."""
        self._pieces.append(data)
        self._pending += len(data)
        self.size += len(data)
        if self._pending > IN_MEMORY:
            await self._write_out()

    async def _write_out(self) -> None:
        data = b"".join(self._pieces)
        self._pieces, self._pending = [], 0
        try:
            await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise NoRoom(error.strerror or str(error)) from error

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    @property
    def on_disk(self) -> bool:
        """Whether some of it is in the file."""
        return self._file is not None

    def whole(self) -> bytes:
        """All of it while none is on disk, else nothing."""
        return b"" if self.on_disk else b"".join(self._pieces)

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`."""
        on_disk = self.size - self._pending
        while start < min(end, on_disk):
            size = min(IN_MEMORY, end - start, on_disk - start)
            piece = await asyncio.to_thread(self._read_at, start, size)
            start += len(piece)
            yield piece
        if start < end:
            yield b"".join(self._pieces)[start - on_disk : end - on_disk]

    def _read_at(self, start: int, size: int) -> bytes:
        assert self._file is not None
        self._file.seek(start)
        return self._file.read(size)


async def spliced(
    spool: Spool, replacements: Iterable[tuple[tuple[int, int], bytes]]
) -> AsyncIterator[bytes]:
    """The whole of it, with some spans replaced; they are in order and do not overlap."""
    at = 0
    for (start, end), text in replacements:
        async for piece in spool.read(at, start):
            yield piece
        yield text
        at = end
    async for piece in spool.read(at, spool.size):
        yield piece
