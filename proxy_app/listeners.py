"""Whose is the socket that listens on a port?"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from enum import Enum

import psutil

from proxy_app.kin import start_time

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_AND_DUMP = 0x301
LISTENING = 1 << 10
"""The state TCP_LISTEN in a set of states."""

HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number and sender of a netlink message."""

REQUEST = struct.Struct("=BBBxI 2s 46x")
"""Family, protocol, extensions, states and local port of `struct inet_diag_req_v2`."""

ANSWER = struct.Struct("=4x 4x 16s 28x 16x I")
"""Local address and inode of `struct inet_diag_msg`."""

_LOOPBACK_OR_ANY = {
    bytes(16),
    socket.inet_pton(socket.AF_INET, "127.0.0.1") + bytes(12),
    socket.inet_pton(socket.AF_INET6, "::1"),
    socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1"),
}


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
    """The names of sockets listening on the port, as links in /proc/*/fd show them.

    Empty where the kernel cannot be asked. /proc/net/tcp tells the same, but the kernel walks
    through its table of all connections for it, which takes 6 ms and more.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return set()
    found: set[str] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            found.update(_ask_kernel(family, port))
        except OSError:
            continue
    return found


def _ask_kernel(family: int, port: int) -> Iterator[str]:
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, LISTENING, port.to_bytes(2, "big"))
    head = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, REQUEST_AND_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(head + body)
        while True:
            data = kernel.recv(65536)
            while data:
                length, kind, *_ = HEADER.unpack_from(data)
                if kind != SOCK_DIAG_BY_FAMILY:  # NLMSG_DONE, or an error: it knows no more.
                    return
                address, inode = ANSWER.unpack_from(data, HEADER.size)
                if address in _LOOPBACK_OR_ANY:
                    yield f"socket:[{inode}]"
                data = data[length:]


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
