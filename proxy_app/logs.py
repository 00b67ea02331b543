"""The server's own log: one line format, and a history bounded in bytes for those who ask."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

HISTORY_BYTES = 100_000
"""How much of the newest log text is kept in memory for the event stream."""

_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}


LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
"""The words of `logLevel`, and what they are called in Python."""


def set_level(word: str) -> None:
    """Log what is as grave as this and graver, from now on. An unknown word counts as info."""
    root, level = logging.getLogger(), LEVELS.get(word, "INFO")
    root.setLevel(level)
    for handler in root.handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.setLevel(level)  # loggers with a level of their own go past the root's


class LineFormatter(logging.Formatter):
    """`[LEVEL] text`, with the levels named DEBUG, INFO, WARN and ERROR."""

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname)
        return f"[{level}] {super().format(record)}"


class LogHistory:
    """The newest log text, oldest pieces dropped first, and what was not told on yet.

    Text comes from any thread. `listener` hears once that something waits to be told; it waits
    until `take` or `catch_up`, so that a burst is told as one.
    """

    def __init__(self, limit: int = HISTORY_BYTES) -> None:
        """`limit` is in bytes."""
        self._limit = limit
        self._pieces: deque[tuple[str, int]] = deque()
        self._size = 0
        self._untold: list[str] = []
        self._lock = threading.Lock()
        self.listener: Callable[[], None] | None = None

    def append(self, text: str) -> None:
        """Add whole lines, each ending in a newline."""
        size = len(text.encode(errors="replace"))
        with self._lock:
            self._pieces.append((text, size))
            self._size += size
            while self._size > self._limit and len(self._pieces) > 1:
                self._size -= self._pieces.popleft()[1]
            listener = self.listener
            first = not self._untold
            if listener is not None:
                self._untold.append(text)
        if listener is not None and first:
            listener()

    def text(self) -> str:
        """What is kept."""
        return self.catch_up(keep=True)[1]

    def take(self) -> str:
        """What was not told on yet; from now on it counts as told."""
        return self.catch_up()[0]

    def catch_up(self, *, keep: bool = False) -> tuple[str, str]:
        """What was not told on yet, and all that is kept, both as of one moment."""
        with self._lock:
            untold, whole = "".join(self._untold), "".join(text for text, _ in self._pieces)
            if not keep:
                self._untold.clear()
        return untold, whole


server_log = LogHistory()


class HistoryHandler(logging.Handler):
    """Feeds the server's log records to `server_log`."""

    def emit(self, record: logging.LogRecord) -> None:
        server_log.append(self.format(record) + "\n")
