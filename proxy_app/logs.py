"""The server's own log: one line format, and a history bounded in bytes for those who ask."""

from __future__ import annotations

import logging
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
    """The newest log text, oldest pieces dropped first, and who wants to hear of new text."""

    def __init__(self, limit: int = HISTORY_BYTES) -> None:
        self._limit = limit
        self._pieces: deque[str] = deque()
        self._size = 0
        self.listener: Callable[[str], None] | None = None

    def append(self, text: str) -> None:
        """Add whole lines, each ending in a newline. Called from any thread."""
        self._pieces.append(text)
        self._size += len(text)
        while self._size > self._limit and len(self._pieces) > 1:
            self._size -= len(self._pieces.popleft())
        if self.listener is not None:
            self.listener(text)

    def text(self) -> str:
        return "".join(list(self._pieces))


server_log = LogHistory()


class HistoryHandler(logging.Handler):
    """Feeds the server's log records to `server_log`."""

    def emit(self, record: logging.LogRecord) -> None:
        server_log.append(self.format(record) + "\n")
