"""Celery's broker in files: nobody reads half of one, and a worker soon hears that it must stop."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

LONGEST_WAIT_SECONDS: Final = 0.2
"""Celery waits 2 s for messages before it looks whether it was told to stop. That is as long as
stopping the server waits for its worker, which so was killed at nearly every stop."""


class Channel(filesystem.Channel):
    """kombu's makes each file empty and then writes it; who reads it in between dies of it."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        """Add a message. Readers take the files in the order of their names."""
        name = f"{time.monotonic() * 1000:.0f}_{uuid.uuid4()}.{queue}.msg"
        written = _written(Path(self.data_folder_out), dumps(payload))
        os.replace(written, written.with_name(name))

    def _queue_bind(self, exchange: str, *binding: Any) -> None:
        file: Path = self._exchange_file(exchange)  # type: ignore[attr-defined]
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            written = _written(file.parent, dumps([]))
            with suppress(FileExistsError):  # Another process was faster.
                os.link(written, file)
            written.unlink()
        super()._queue_bind(exchange, *binding)


class Transport(filesystem.Transport):
    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message; TimeoutError when none has come within `timeout` seconds or ours."""
        wait = min(timeout or LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        super().drain_events(connection, timeout=wait)


def _written(folder: Path, text: str) -> Path:
    """A new file with all of the text, under a name that no reader looks for."""
    number, name = tempfile.mkstemp(suffix=".part", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(str_to_bytes(text))
    except OSError:
        # A disk that is full would be left with one more each time it is tried again.
        os.unlink(name)
        raise
    return Path(name)
