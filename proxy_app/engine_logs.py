"""Follows the log files of the engines and hands on what is new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
READ_BYTES = 64 * 1024
"""At most this much of one file is handed on per turn; more waits for the next."""


class LogFollower:
    """Reads what was appended to each `*.log` of a folder since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def skip_existing(self) -> None:
        """Start at the end of every file that is there now."""
        for file in self._folder.glob("*.log"):
            self._offsets[file] = file.stat().st_size

    def read_new(self) -> str:
        """New text of all files, whole lines where there are any."""
        return "".join(self._read(file) for file in sorted(self._folder.glob("*.log")))

    def _read(self, file: Path) -> str:
        offset = self._offsets.get(file, 0)
        size = file.stat().st_size
        if size < offset:  # It was rotated; what is there now is all new.
            offset = 0
        if size == offset:
            return ""
        with file.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(READ_BYTES)
        end = data.rfind(b"\n") + 1 or len(data)
        self._offsets[file] = offset + end
        return data[:end].decode(errors="replace")


async def follow(follower: LogFollower, told: Callable[[str], None]) -> None:
    """Hand on new text until cancelled."""
    while True:
        try:
            text = await asyncio.to_thread(follower.read_new)
        except OSError as error:  # A file went away between two looks, or cannot be read.
            logger.warning("An engine's log could not be read: %s", error)
            text = ""
        if text:
            told(text)
        await asyncio.sleep(POLL_SECONDS)
