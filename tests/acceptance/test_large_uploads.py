"""Forms and files far larger than what the server keeps in memory of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
import requests
import yaml

from tests.server import KEYED, ROOT, RunningServer, running_server, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

ECHO = {
    "cmd": f"{sys.executable} -m tests.echo_engine ${{PORT}}",
    "env": [f"PYTHONPATH={ROOT}"],
    "checkEndpoint": "/",
    "useModelName": "whisper",
}
PIECE = bytes(range(256)) * 4096
PIECES = 100
"""Of 1 MiB; the longest body that is taken as the server comes is 128 MiB."""

MOST_GROWTH = 24 * 1024 * 1024
"""Bytes, a quarter of the upload: pieces on their way, and what else happens meanwhile."""

HEAD = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="talk.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
TAIL = b'\r\n--edge\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--edge--\r\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {"echo": ECHO}}))
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models("echo")
        assert requests.get(f"{running.url}/upstream/echo/", headers=KEYED, timeout=60).ok
        yield running


def form(model: bytes) -> Iterator[bytes]:
    """With its model behind the file, so that all of it comes by before it is known."""
    yield HEAD
    for _ in range(PIECES):
        yield PIECE
    yield TAIL % model


def file() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


def peak(server: RunningServer, *, forget: bool = False) -> int:
    """Bytes the serving process had in memory at most, since it was last told to forget."""
    of = Path(f"/proc/{server.process.pid}")
    if forget:
        (of / "clear_refs").write_text("5")
    (line,) = (one for one in (of / "status").read_text().split("\n") if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/images/edits"])
def test_a_form_costs_a_fraction_of_its_size_in_memory(server: RunningServer, path: str) -> None:
    before = peak(server, forget=True)
    reply = requests.post(
        server.url + path,
        data=form(b"echo"),
        headers={"Content-Type": "multipart/form-data; boundary=edge", **KEYED},
        timeout=120,
    )
    grown = peak(server) - before

    assert reply.ok, reply.text
    heard = reply.json()
    assert heard["sha256"] == sha256(b"".join(form(b"whisper"))).hexdigest()
    assert heard["length"] > PIECES * 1024 * 1024
    assert grown < MOST_GROWTH
    wait_until(lambda: kept(server) == [], "nothing to be left of the upload")


def test_so_does_a_file_for_the_engine_itself(server: RunningServer) -> None:
    before = peak(server, forget=True)
    reply = requests.put(f"{server.url}/upstream/echo/file", data=file(), timeout=120)
    grown = peak(server) - before

    assert reply.json()["sha256"] == sha256(b"".join(file())).hexdigest()
    assert grown < MOST_GROWTH
    wait_until(lambda: kept(server) == [], "nothing to be left of the upload")


def kept(server: RunningServer) -> list[str]:
    """What is left of uploads, with a name on the disk or without one."""
    uploads = Path(server.home) / "uploads"
    held = [one.path for one in psutil.Process(server.process.pid).open_files()]
    return [*map(str, uploads.iterdir()), *(path for path in held if path.startswith(str(uploads)))]
