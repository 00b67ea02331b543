"""How fast, over how many connections, and how long to wait before the next try."""

from __future__ import annotations

import threading
import time
from collections import deque

GIVE_UP_AFTER = 12
"""Failures in a row, with not one piece arriving between them, that end a download."""

LONGEST_PAUSE = 60.0
GROWTH = 1.1
"""By how much one more connection has to quicken a download for another to be tried."""


def pause(failures: int, asked: float | None = None) -> float:
    """Seconds to wait after the given number of failures in a row.

    A half, 1, 2, 4 … up to a minute, or what the server asked for, if that is longer.
    """
    own = min(LONGEST_PAUSE, 2.0 ** (failures - 2))
    return max(own, asked or 0.0)


class Speedometer:
    """Bytes per second over the newest moments."""

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self._marks: deque[tuple[float, int]] = deque()

    def note(self, now: float, total: int) -> float:
        """The speed, told that `total` bytes are here at `now`."""
        self._marks.append((now, total))
        while now - self._marks[0][0] > self._window and len(self._marks) > 2:
            self._marks.popleft()
        since, before = self._marks[0]
        return max(0.0, (total - before) / (now - since)) if now > since else 0.0


class Width:
    """How many connections to use: one more as long as each makes it faster."""

    def __init__(self, most: int, first: int) -> None:
        self.most = most
        self.wanted = min(first, most)
        self._best = 0.0

    def measured(self, speed: float) -> int:
        """Told the speed (bytes/s) that `wanted` connections reach; returns how many to use."""
        if speed > self._best * GROWTH:
            self._best = speed
            self.wanted = min(self.most, self.wanted + 1)
        return self.wanted

    def refused(self) -> int:
        """The server takes no more connections, or fails under them."""
        self.most = self.wanted = max(1, self.wanted // 2)
        return self.wanted


class Bandwidth:
    """Lets through so many bytes a second, for all threads that share it."""

    def __init__(self, rate: float = 0) -> None:
        """`rate` in bytes per second; 0 lets everything through."""
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def delay(self, count: int, now: float) -> float:
        """Seconds to wait before `count` further bytes are due."""
        if self.rate <= 0:
            return 0.0
        with self._lock:
            start = max(now, self._free_at)
            self._free_at = start + count / self.rate
            return start - now

    def spend(self, count: int, stopped: threading.Event) -> None:
        """Wait for the turn of `count` bytes, or until `stopped`."""
        wait = self.delay(count, time.monotonic())
        if wait > 0:
            stopped.wait(wait)
