"""Whose is the socket that listens on a port?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import psutil

from proxy_app.kin import start_time

LISTEN = "0A"
_LOOPBACK_OR_ANY = {
    "00000000",
    "0100007F",
    "0" * 32,
    "0" * 24 + "01000000",
    "0000000000000000FFFF00000100007F",
}
"""0.0.0.0, 127.0.0.1, ::, ::1 and ::ffff:127.0.0.1 as the kernel's tables write them."""


class Listener(Enum):
    """Who answers on a port, as far as can be told."""

    OURS = "ours"
    STRANGER = "stranger"
    UNKNOWN = "unknown"
    """Another user's, or started by the engine elsewhere, as container tools do; or no Linux."""


def listener_on(port: int, leader: int) -> Listener:
    """Whether the session led by process `leader` owns every listener on a loopback port.

    A listener held by a process that was there before `leader` is a stranger's for certain.
    """
    sockets = _listening(port)
    if not sockets:
        return Listener.UNKNOWN
    if sockets <= _held(leader):
        return Listener.OURS
    ours: set[str] = set()
    since = start_time(leader) or 0
    for pid in psutil.pids():
        held = sockets & _held(pid)
        if held and _session(pid) == leader:
            ours |= held
        elif held and (start_time(pid) or since) < since:
            return Listener.STRANGER
    return Listener.OURS if ours == sockets else Listener.UNKNOWN


def _listening(port: int) -> set[str]:
    """The names of sockets listening on the port, as links in /proc/*/fd show them."""
    return {
        f"socket:[{fields[9]}]"
        for fields in _table_rows()
        if fields[3] == LISTEN
        and fields[1].endswith(f":{port:04X}")
        and fields[1].partition(":")[0] in _LOOPBACK_OR_ANY
    }


def _table_rows() -> Iterator[list[str]]:
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        yield from (row.split() for row in rows)


def _held(pid: int) -> set[str]:
    """What the process has open; nothing if it is gone or another user's."""
    try:
        links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return set()
    return {target for link in links if (target := _target(link))}


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None  # Closed meanwhile.


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
