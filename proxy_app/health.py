"""Asks an engine whether it is up, without leaving sockets behind."""

from __future__ import annotations

import asyncio
import socket
import struct

LONGEST_STATUS_LINE = 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: fifty questions a second would otherwise leave thousands of sockets in
TIME_WAIT, on the very port that is tested for being free later."""


async def ask(host: str, port: int, path: str, limit: float) -> int | None:
    """The status of `GET path`; None if nobody answered in HTTP within `limit` seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        try:
            async with asyncio.timeout(limit):
                return _status(await _first_line(connection, host, port, path))
        except (OSError, TimeoutError):
            return None


async def _first_line(connection: socket.socket, host: str, port: int, path: str) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, port))
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    await loop.sock_sendall(connection, request.encode())
    received = b""
    while b"\r\n" not in received and len(received) < LONGEST_STATUS_LINE:
        piece = await loop.sock_recv(connection, LONGEST_STATUS_LINE)
        if not piece:
            break
        received += piece
    return received.partition(b"\r\n")[0]


def _status(line: bytes) -> int | None:
    protocol, _, rest = line.partition(b" ")
    digits = rest[:3]
    if not protocol.startswith(b"HTTP/") or len(digits) < 3 or not digits.isdigit():
        return None
    return int(digits)
