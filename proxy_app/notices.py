"""What went wrong, as events of their own: crashes, failed loads, other warnings and errors.

Everything that is logged as a warning or worse is one. Who logs may say more of it:
`logger.error(…, extra=about("crash", model))`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

CRASH: Final = "crash"
LOAD_FAILED: Final = "load_failed"
LOG: Final = "log"

Notice = dict[str, Any]


def about(kind: str, model: str) -> dict[str, Any]:
    """What a log record says besides its text."""
    return {"notice": (kind, model)}


def notice_of(record: logging.LogRecord) -> Notice:
    """The event: {level, kind, model, text, at}; `model` is empty when it is about none."""
    kind, model = getattr(record, "notice", (LOG, ""))
    return {
        "level": "error" if record.levelno >= logging.ERROR else "warning",
        "kind": kind,
        "model": model,
        "text": record.getMessage(),
        "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
    }


class NoticeHandler(logging.Handler):
    """Tells one listener of them, in whatever thread they are logged."""

    listener: Callable[[Notice], None] | None = None

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        listener = NoticeHandler.listener
        if listener is not None:
            listener(notice_of(record))
