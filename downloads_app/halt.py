"""Stops a download at once, also one that waits for a server which says nothing."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Stopped(Exception):
    """Somebody asked for a stop."""


class Halt(threading.Event):
    """An event that, once set, ends the connections that were entered with it.

    A thread that reads from a silent server would else notice the event only when its patience
    with the server is over, half a minute later.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._lines: dict[int, socket.socket] = {}

    def enter(self, owner: object, line: socket.socket) -> None:
        """`line` is the connection that `owner` uses from now on. Raises Stopped when set."""
        # A copy: TLS takes the socket itself away, and shutting down any copy ends them all.
        copy = line.dup()
        with self._lock:
            before = self._lines.pop(id(owner), None)
            if not self.is_set():
                self._lines[id(owner)] = copy
        if before is not None:
            before.close()
        if self.is_set():
            copy.close()
            raise Stopped

    def leave(self, owner: object) -> None:
        """`owner` uses no connection any more."""
        with self._lock:
            line = self._lines.pop(id(owner), None)
        if line is not None:
            line.close()

    def set(self) -> None:
        super().set()
        with self._lock:
            for line in self._lines.values():
                with suppress(OSError):  # The other side may have ended it already.
                    line.shutdown(socket.SHUT_RDWR)
