"""Has the kernel read a model's file while the engines before it stop."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

import psutil

PIECE = 64 * 1024**2
"""Bytes asked for at a time: a request of any size is taken, but blocks until it is queued."""

MOST_OF_FREE = 0.5
"""Share of the available RAM that is filled; more would push out what was read first."""

_FILES = frozenset({"-m", "--model", "--mmproj", "-mm", "-md", "--model-draft"})


def files_of(argv: Sequence[str]) -> list[str]:
    """The files that a llama-server's command names."""
    return [path for option, path in pairwise(argv) if option in _FILES]


def read_ahead(paths: Sequence[str]) -> int:
    """Ask for the files' pages; returns how many bytes were asked for.

    It only asks: the reading goes on by itself. A file that is in memory already costs nothing.
    Does nothing where the system has no such call.
    """
    if not hasattr(os, "posix_fadvise"):
        return 0
    room = int(psutil.virtual_memory().available * MOST_OF_FREE)
    asked = 0
    for path in paths:
        with suppress(OSError):
            asked += _ask_for(path, room - asked)
    return asked


def _ask_for(path: str, room: int) -> int:
    handle = os.open(path, os.O_RDONLY)
    try:
        asked = 0
        for at, size in _pieces(min(os.fstat(handle).st_size, max(0, room))):
            os.posix_fadvise(handle, at, size, os.POSIX_FADV_WILLNEED)
            asked += size
        return asked
    finally:
        os.close(handle)


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    for at in range(0, size, PIECE):
        yield at, min(PIECE, size - at)
