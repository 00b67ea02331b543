"""Celery's broker in files, asked so that a worker notices soon that it is to stop."""

from __future__ import annotations

from typing import Any, Final

from kombu.transport import filesystem

LONGEST_WAIT_SECONDS: Final = 0.2
"""Celery waits 2 s for messages before it looks whether it was told to stop. That is as long as
stopping the server waits for its worker, which so was killed at nearly every stop."""


class Transport(filesystem.Transport):
    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message; TimeoutError when none has come within `timeout` seconds or ours."""
        wait = min(timeout or LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        super().drain_events(connection, timeout=wait)
