"""Where a file grows until it is whole: a hidden folder beside its place, with a journal.

The folder is on the same file system as the place, so that the finished file gets its name by
one rename, and its data is called `data`, which no scan takes for a model. The journal says which
pieces are here and what their CRC-32 is. A piece is entered after it was written, so a killed
worker loses what it was just receiving and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from downloads_app.trouble import Kind, Trouble, of_disk

FOLDER = ".claracore-parts"
LOCK_SECONDS = 20.0
"""How long another worker may take to let go of a stage."""
BLOCK = 1024 * 1024


class Stage:
    """One file that is not whole yet. `write` and `enter` may be called by several threads."""

    def __init__(self, target: Path, key: str) -> None:
        """`key` names the download among those into the same folder. Raises Trouble."""
        self.target = target
        self.folder = target.parent / FOLDER / key
        self._journal = self.folder / "journal"
        self._lock = threading.Lock()
        self.crcs: dict[int, int] = {}
        """CRC-32 of each piece that is here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.data = os.open(self.folder / "data", os.O_RDWR | os.O_CREAT, 0o644)
            self._entries = os.open(self._journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise of_disk(error, str(target.parent)) from error
        self._take_alone()

    def _take_alone(self) -> None:
        """Wait until no other worker writes here: one that lost its lease may not know it yet.

        Once the file has its name, a late write would go into the finished file.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._entries, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.close()
                    text = "Another worker still writes to this download's parts."
                    raise Trouble(Kind.BUSY, text) from None
                time.sleep(0.05)

    def resume(self, about: dict[str, Any]) -> bool:
        """Take up what is here if it is of the very same file, else start afresh.

        `about` says which file it is: size, etag, length of a piece. Returns False when something
        was here that had to be thrown away.
        """
        first, *lines = self._journal.read_text().splitlines() or [""]
        self.crcs = {}
        if first == json.dumps(about, sort_keys=True):
            for line in lines:
                number, _, crc = line.partition(" ")
                if number.isdecimal() and len(crc) == 8:  # a torn last line is no entry
                    self.crcs[int(number)] = int(crc, 16)
            return True
        self.clear()
        self._append(json.dumps(about, sort_keys=True))
        return not first

    def bytes_here(self) -> int:
        """Disk space that the parts take already."""
        return os.fstat(self.data).st_blocks * 512 if self.data >= 0 else 0

    def clear(self) -> None:
        """Throw away all that is here."""
        self.crcs = {}
        os.ftruncate(self.data, 0)
        os.ftruncate(self._entries, 0)

    def reserve(self, size: int) -> None:
        """Take the disk space now, where the file system can. Raises Trouble."""
        try:
            os.posix_fallocate(self.data, 0, size) if size else None
        except OSError as error:
            trouble = of_disk(error, str(self.target.parent))
            if trouble.kind is Kind.DISK_FULL:
                raise trouble from error

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Raises Trouble."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self.data, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise of_disk(error, str(self.target.parent)) from error

    def enter(self, number: int, crc: int) -> bool:
        """Note that a piece is here. False when it differs from what was here before."""
        with self._lock:
            before = self.crcs.get(number)
            self.crcs[number] = crc
        self._append(f"{number} {crc:08x}")
        return before is None or before == crc

    def damaged(self, lengths: dict[int, tuple[int, int]]) -> list[int]:
        """Pieces whose bytes on disk are not what was received; start and length of each given."""
        return [
            number
            for number, (start, length) in lengths.items()
            if self._crc_of(start, length) != self.crcs.get(number)
        ]

    def flush(self) -> None:
        """Have all that is here on the disk itself. Raises Trouble."""
        try:
            os.fsync(self.data)
        except OSError as error:
            raise of_disk(error, str(self.target.parent)) from error

    def finish(self) -> None:
        """Give the whole file its name; one that is there already is never replaced.

        `flush` first, or the name may outlive the content. Raises Trouble.
        """
        try:
            # A hard link fails where the name is taken; a rename would replace it.
            os.link(self.folder / "data", self.target)
        except FileExistsError as error:
            text = f"{self.target} is there already. Remove it or choose another folder."
            raise Trouble(Kind.EXISTS, text) from error
        except OSError:
            self._finish_by_rename()
        self.remove()

    def remove(self) -> None:
        """Close it and take it away with all it holds."""
        self.close()
        remove(self.target, self.folder.name)

    def close(self) -> None:
        """Keep what is here for later."""
        for handle in (self.data, self._entries):
            if handle >= 0:
                os.close(handle)
        self.data = self._entries = -1

    def _finish_by_rename(self) -> None:
        """For file systems without hard links."""
        if self.target.exists():
            text = f"{self.target} is there already. Remove it or choose another folder."
            raise Trouble(Kind.EXISTS, text)
        try:
            os.rename(self.folder / "data", self.target)
        except OSError as error:
            raise of_disk(error, str(self.target.parent)) from error

    def _append(self, line: str) -> None:
        try:
            os.write(self._entries, line.encode() + b"\n")
        except OSError as error:
            raise of_disk(error, str(self.target.parent)) from error

    def _crc_of(self, start: int, length: int) -> int:
        crc, end = 0, start + length
        while start < end and (block := os.pread(self.data, min(BLOCK, end - start), start)):
            crc = zlib.crc32(block, crc)
            start += len(block)
        return crc


def remove(target: Path, key: str) -> None:
    """Take away what is staged for `target` under `key`, if anything is."""
    folder = target.parent / FOLDER
    shutil.rmtree(folder / key, ignore_errors=True)
    try:
        folder.rmdir()
    except OSError:
        return  # It is not there, or other downloads have their parts in it.
