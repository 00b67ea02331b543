"""The way into a guard whose server is gone; `guard.Door` is the other side."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import psutil

OPENING_SECONDS = 5.0
"""A guard opens its door as soon as it notices that its server is gone; on a busy machine that may
take a moment."""

POLL_SECONDS = 0.01
LONGEST_ADDRESS = 100
"""Bytes of a socket's path that every system takes."""


async def knock(door: Path, guard: psutil.Process) -> socket.socket:
    """A connection to the guard. Raises OSError when there is none to be had."""
    deadline = time.monotonic() + OPENING_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(connection, door)
        except OSError:
            connection.close()
            if time.monotonic() > deadline or not _runs(guard):
                raise
            await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            connection.close()
            raise
        else:
            connection.setblocking(False)
            return connection


def _connect(connection: socket.socket, door: Path) -> None:
    """Never waits: a guard that listens takes the connection at once, whatever it does."""
    if len(os.fsencode(door)) <= LONGEST_ADDRESS:
        connection.connect(str(door))
        return
    folder = os.open(door.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{door.name}")
    finally:
        os.close(folder)


def _runs(guard: psutil.Process) -> bool:
    try:
        return guard.is_running() and guard.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
