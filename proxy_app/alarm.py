"""Wakes its owner when time alone is a reason to look again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LATE_SECONDS = 0.001
"""Timers may ring a little early by the other clock; then nothing would be due yet."""


class Alarm:
    """Rings at one moment at most. Times are monotonic seconds."""

    def __init__(
        self, deadline: Callable[[float], float | None], ring: Callable[[float], None]
    ) -> None:
        """`deadline(now)` is when to ring next, None never; `ring(now)` is called then."""
        self._deadline = deadline
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def rings_by(self, moment: float) -> bool:
        """Whether it rings then or before."""
        return self._timer is not None and self._due <= moment

    def set(self) -> None:
        """Ask for the deadline anew."""
        self.stop()
        now = time.monotonic()
        due = self._deadline(now)
        if due is not None:
            self._due = due
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(due - now + LATE_SECONDS, self._rings)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        self._ring(time.monotonic())
        self.set()
