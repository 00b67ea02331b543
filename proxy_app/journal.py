"""Ended requests on their way to the database: appended to a file, taken over from there.

Writing a row for each request into the database would cost more than the request. So ended
requests are appended to a segment, a file of JSON lines, every few milliseconds; what has been
written outlasts the process. A drain takes whole lines over, in bunches. The rows and the
place up to which they reach are one transaction, so that no row is lost and none comes twice.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from proxy_app.records import Line

logger = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""From this size on a new segment is begun, so that drained ones can go."""

BUNCH_BYTES: Final = 64 * 1024
"""Some 250 lines: while they are written as rows, nobody else writes to SQLite."""

SUFFIX: Final = ".jsonl"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


class Journal:
    """The one writer of a folder of segments."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._handle: int | None = None
        self._size = 0
        self.segment: Path | None = None
        """What is being written; None before the first line and after `close`."""

    def append(self, lines: Sequence[Line]) -> None:
        """Write them, in one write. Raises OSError when they cannot be kept."""
        data = _encoder.encode_lines(lines)
        if self._handle is None or self._size > SEGMENT_BYTES:
            self._begin()
        assert self._handle is not None
        written = os.write(self._handle, data)
        self._size += written
        if written < len(data):
            # The disk is full. What follows goes to a new segment, as half a line ends this one.
            self.close()
            raise OSError(28, "No space left on device", str(self._folder))

    def close(self) -> None:
        """Write no more to the present segment."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = self.segment = None

    def _begin(self) -> None:
        self.close()
        # Sorted by name they are sorted by age; two servers never choose the same name.
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        self.segment = self._folder / name
        self._handle = os.open(
            self.segment, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600
        )
        self._size = 0


def segments(folder: Path) -> list[Path]:
    """All segments of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_from(segment: Path, offset: int, most: int = BUNCH_BYTES) -> tuple[list[Line], int]:
    """The lines after a place, and the place after them. Only whole lines are read.

    `most` is in bytes, but for a single line that is longer. A line that cannot be read is left out
    and logged.
    """
    with segment.open("rb") as file:
        file.seek(offset)
        data = more = file.read(most)
        while more and b"\n" not in data:  # A line longer than that, of an engine that says much.
            data += (more := file.read(most))
    end = data.rfind(b"\n") + 1
    lines = []
    for text in data[:end].splitlines():
        try:
            lines.append(_decoder.decode(text))
        except msgspec.MsgspecError as error:
            logger.error("A line of %s cannot be read and is left out: %s", segment.name, error)
    return lines, offset + end
