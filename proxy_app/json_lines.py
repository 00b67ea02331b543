"""The server's log as JSON, one object a line, for programs that collect logs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

from proxy_app.logs import LineFormatter


class JsonFormatter(LineFormatter):
    """`{"time", "level", "logger", "message"}`, with `exception` where there was one.

    A LineFormatter in name, so that the log's level acts on it as well.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks within a text are escaped."""
        value: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(value).decode()
