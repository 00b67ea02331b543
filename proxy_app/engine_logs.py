"""Follows the log files of the engines and hands on what is new."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
READ_BYTES = 64 * 1024
"""At most this much of one file is handed on per turn; of more, the rest follows at once."""


class LogTail:
    """Reads what is appended to one file, over its rotations.

    The file is kept open, so that what was written just before a rotation is still read.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        """`start` is in bytes; -1 is the end, and -n the n bytes before it at most."""
        self._path = path
        self._start = start
        self._file: BinaryIO | None = None

    def read(self) -> str:
        """What is new, whole lines where there are any; empty when nothing is, or no file."""
        if self._file is None and not self._open():
            return ""
        assert self._file is not None
        text = self._read_on(self._file)
        if not text and self._was_replaced(self._file):
            self.close()
            text = self.read()
        return text

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._start = None, 0

    def _open(self) -> bool:
        try:
            # Without a buffer: what is appended later would be hidden by it.
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        before_end = 0 if self._start == -1 else -self._start
        self._file.seek(max(0, size - before_end) if self._start < 0 else self._start)
        return True

    def _read_on(self, file: BinaryIO) -> str:
        offset = file.tell()
        if os.fstat(file.fileno()).st_size < offset:  # It was cut; what is there now is all new.
            offset = file.seek(0)
        data = file.read(READ_BYTES)
        end = data.rfind(b"\n") + 1 or len(data)
        file.seek(offset + end)
        return data[:end].decode(errors="replace")

    def _was_replaced(self, file: BinaryIO) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return True
        then = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino)


class LogFollower:
    """Reads what was appended to each `*.log` of a folder since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails: dict[Path, LogTail] = {}

    def skip_existing(self) -> None:
        """Start at the end of every file that is there now."""
        for file in self._folder.glob("*.log"):
            self._tails[file] = LogTail(file, file.stat().st_size)

    def read_new(self) -> str:
        """New text of all files, whole lines where there are any."""
        for file in self._folder.glob("*.log"):
            self._tails.setdefault(file, LogTail(file))
        return "".join(self._tails[file].read() for file in sorted(self._tails))

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()


async def follow(follower: LogFollower, told: Callable[[str], None]) -> None:
    """Hand on new text until cancelled."""
    try:
        while True:
            try:
                text = await asyncio.to_thread(follower.read_new)
            except OSError as error:  # A file cannot be read.
                logger.warning("An engine's log could not be read: %s", error)
                text = ""
            if text:
                told(text)
            if len(text) < READ_BYTES // 2:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        follower.close()
