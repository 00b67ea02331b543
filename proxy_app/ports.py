"""Ports for engines to listen on: free right now, and not one that was just given back."""

from __future__ import annotations

import socket
from collections import deque

HOST = "127.0.0.1"
HIGHEST = 65535
GIVE_UP_AFTER = 200
REST = 32
"""So many releases a port rests before it is handed out again. A client that still holds the
address of an engine that is gone then meets nobody rather than another model."""


class NoFreePort(Exception):
    """Every port that was tried is taken."""


class PortPool:
    """Hands out loopback ports from `start_port` upward."""

    def __init__(self, start_port: int) -> None:
        self.start_port = start_port
        self._held: set[int] = set()
        self._resting: deque[int] = deque(maxlen=REST)
        self._once_ours: set[int] = set()

    def acquire(self, start_port: int | None = None) -> int:
        """A port that can be bound now, from `start_port` upward if given. Raises NoFreePort."""
        first = self.start_port if start_port is None else start_port
        strangers = 0
        for port in range(first, HIGHEST + 1):
            if port in self._held or port in self._resting:
                continue
            if _can_bind(port):
                self._held.add(port)
                self._once_ours.add(port)
                return port
            # One of ours that cannot be bound has sockets lingering in TIME_WAIT. Under quick
            # swaps there may be hundreds; they say nothing about who else is on this machine.
            strangers += port not in self._once_ours
            if strangers == GIVE_UP_AFTER:
                raise NoFreePort(
                    f"no free port for an engine: {GIVE_UP_AFTER} ports from {first}"
                    " upward are taken by other programs"
                )
        raise NoFreePort(f"no free port for an engine from {first} to {HIGHEST}")

    def hold(self, port: int) -> None:
        """Take a port that an engine of an earlier server listens on."""
        self._held.add(port)
        self._once_ours.add(port)

    def release(self, port: int) -> None:
        """Give a port back; it rests before it is used again."""
        self._held.discard(port)
        self._resting.append(port)


def _can_bind(port: int) -> bool:
    """Without SO_REUSEADDR, which would look past lingering sockets and half-open neighbours."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
