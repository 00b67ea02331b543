from __future__ import annotations

import asyncio
import socket

import psutil
import pytest

from proxy_app import health
from tests.processes import HANG_SECONDS


async def answers(answer: bytes, limit: float = HANG_SECONDS) -> tuple[int | None, bytes]:
    """What `ask` makes of an answer, and what it sent."""
    asked = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            writer.close()
        else:
            await reader.read()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await health.ask("127.0.0.1", port, "/health?deep=1", limit), asked


async def test_it_asks_for_the_path_and_tells_the_status() -> None:
    status, asked = await answers(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}")
    assert status == 503
    assert asked.startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 2\xb2\xb2 OK\r\n", b"HTTP/1.1", b"x" * 5000, b"\r\n"],
)
async def test_what_is_not_http_is_no_answer(answer: bytes) -> None:
    assert (await answers(answer))[0] is None


async def test_silence_is_no_answer() -> None:
    assert (await answers(b"", limit=0.05))[0] is None


async def test_a_closed_port_is_no_answer() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert await health.ask("127.0.0.1", port, "/health", HANG_SECONDS) is None


async def test_an_unknown_host_is_no_answer() -> None:
    assert await health.ask("no-such-host.invalid", 80, "/", HANG_SECONDS) is None


async def test_it_leaves_no_socket_lingering_on_the_engines_port() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await health.ask("127.0.0.1", port, "/", HANG_SECONDS) == 200
    lingering = [
        connection
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_TIME_WAIT
        and port in (connection.laddr[1:] + connection.raddr[1:])
    ]
    assert lingering == []
