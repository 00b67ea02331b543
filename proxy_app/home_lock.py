"""One server per home folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class HomeInUse(Exception):
    """Another server works in this folder."""


class HomeLock:
    """Held for the server's life; the kernel gives it back however the server ends."""

    def __init__(self, home: Path) -> None:
        self._file = home / "server.lock"

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode().strip()
            os.close(self._descriptor)
            raise HomeInUse(
                f"Another ClaraCore server (process {owner or 'unknown'}) uses "
                f"{self._file.parent}. Stop it, or set CLARACORE_HOME to another folder."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)
