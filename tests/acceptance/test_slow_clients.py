"""Clients that read slower than engines send, or not at all."""

from __future__ import annotations

import json
import random
import re
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, BinaryIO

import psutil
import pytest
import requests
import yaml

from tests.management import in_home
from tests.server import KEYED, ROOT, RunningServer, running_server, wait_until

pytestmark = pytest.mark.in_order  # The last one changes a setting.

ENGINE = {
    "cmd": f"{sys.executable} -m tests.fake_engine --port ${{PORT}}",
    "env": [f"PYTHONPATH={ROOT}"],
    "concurrencyLimit": 4,
}
CHUNK = 16 * 1024
CHUNKS = 6000
"""Together about 100 MB, far more than any buffer on the way holds."""

MOST_GROWTH = 16 * 1024 * 1024
"""Bytes of memory that a slow client may cost the server, with room for what else happens."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {"fake": ENGINE}}))
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models("fake")
        yield running


def begin_stream(server: RunningServer, chunks: int = CHUNKS) -> socket.socket:
    """A client with a small window that has asked for more than it will read at once."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.settimeout(60)
    client.connect((host, int(port)))
    client.sendall(stream_request(chunks))
    return client


def stream_request(chunks: int) -> bytes:
    body = json.dumps({"model": "fake", "stream": True, "fake": {"chunks": chunks, "bytes": CHUNK}})
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def read_stream(lines: BinaryIO, rest: Callable[[], object]) -> list[int]:
    """The numbers of a whole answer's events; `rest` is called between its pieces."""
    assert lines.readline().startswith(b"HTTP/1.1 200")
    while lines.readline().strip():
        pass
    body = bytearray()
    while size := int(lines.readline(), 16):
        rest()
        body += lines.read(size)
        assert lines.readline() == b"\r\n"
    assert lines.readline() == b"\r\n"
    assert body.endswith(b"data: [DONE]\n\n")
    return [int(number) for number in re.findall(rb'"content":"(\d+) "', body)]


def stats(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(
        f"{server.url}/upstream/fake/fake/stats", headers=KEYED, timeout=60
    ).json()
    return found


def test_memory_does_not_grow_with_what_a_slow_client_leaves_unread(server: RunningServer) -> None:
    process = psutil.Process(server.process.pid)
    stats(server)
    before = process.memory_info().rss
    with begin_stream(server) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        for _ in range(150):
            client.recv(4096)
            assert stats(server)["in_flight"] == 1, "the engine could send everything"
            assert process.memory_info().rss - before < MOST_GROWTH
    wait_until(lambda: stats(server)["in_flight"] == 0, "an idle engine after the client left")


def test_a_client_that_reads_by_fits_gets_everything_and_the_next_answer_behind_it(
    server: RunningServer,
) -> None:
    """Some pieces wait for it and others need not, and none may overtake another."""
    chance = random.Random(11)

    def rest() -> None:
        if chance.random() < 0.05:
            stats(server)

    with begin_stream(server, 600) as client, client.makefile("rb") as lines:
        client.sendall(stream_request(3))
        assert read_stream(lines, rest) == list(range(600))
        assert read_stream(lines, rest) == list(range(3))


def test_a_client_that_reads_nothing_gives_its_place_back(server: RunningServer) -> None:
    in_home(
        server.home,
        "from models_app.models import ServerSettings\n"
        "row = ServerSettings.current()\n"
        "row.reading_timeout = 1\n"
        "row.save()",
    )
    looks = count()
    clients: list[socket.socket] = []

    def hung_up_on() -> bool:
        # The limit of one that came before the setting was taken over is the old one.
        if next(looks) % 40 == 0 and len(clients) < 3:
            clients.append(begin_stream(server))
        return "read nothing of its answer" in server.said()

    try:
        wait_until(hung_up_on, "a word about a client that does not read", server.said)
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: stats(server)["in_flight"] == 0, "an idle engine")
