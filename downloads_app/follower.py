"""Hashes a growing file from its beginning, as far as it is whole."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable

BLOCK = 1024 * 1024


class Follower:
    """A thread that keeps up with a download, so that nothing is left to hash at its end."""

    def __init__(self, handle: int, whole_until: Callable[[], int]) -> None:
        """`whole_until()` tells how many bytes from the beginning are here by now."""
        self._handle = handle
        self._whole_until = whole_until
        self._digest = hashlib.sha256()
        self._at = 0
        self._news = threading.Event()
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """There may be more."""
        self._news.set()

    def finish(self, size: int) -> str:
        """The SHA-256 of all `size` bytes, in lower case. They must all be here."""
        self.close()
        self._hash_to(size)
        return self._digest.hexdigest()

    def close(self) -> None:
        self._quit.set()
        self._news.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._quit.is_set():
            self._news.wait()
            self._news.clear()
            self._hash_to(self._whole_until())

    def _hash_to(self, end: int) -> None:
        while self._at < end:
            block = os.pread(self._handle, min(BLOCK, end - self._at), self._at)
            if not block:
                return
            self._digest.update(block)
            self._at += len(block)
