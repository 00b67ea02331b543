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

    def __init__(self, home: Path, held: int | None = None) -> None:
        """`held` is the descriptor of the lock when this process has it already."""
        self._file = home / "server.lock"
        self._held = held
        self.descriptor = -1

    def __enter__(self) -> Self:
        if self._held is not None:
            self.descriptor = self._held
            os.set_inheritable(self.descriptor, False)
            return self
        self.descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self.descriptor, 32).decode().strip()
            os.close(self.descriptor)
            raise HomeInUse(
                f"Another ClaraCore server (process {owner or 'unknown'}) uses "
                f"{self._file.parent}. Stop it, or set CLARACORE_HOME to another folder."
            ) from None
        os.ftruncate(self.descriptor, 0)
        os.write(self.descriptor, f"{os.getpid()}\n".encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)
