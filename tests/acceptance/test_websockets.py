"""WebSockets through the gateway, to a real WebSocket server as a custom command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.echo_engine import FLOOD_BYTES
from tests.management import in_home
from tests.server import ROOT, RunningServer, running_server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    echo = {
        "cmd": f"{sys.executable} -m tests.echo_engine ${{PORT}}",
        "env": [f"PYTHONPATH={ROOT}"],
        "checkEndpoint": "/",
    }
    config.write_text(yaml.safe_dump({"models": {"lab/echo": echo}}))
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models("lab/echo")
        yield running


def open_socket(server: RunningServer, path: str, **more: Any) -> ClientConnection:
    url = server.url.replace("http://", "ws://") + path
    opened: ClientConnection = connect(url, proxy=None, open_timeout=60, max_size=None, **more)
    return opened


def test_both_directions_carry_text_and_bytes(server: RunningServer) -> None:
    with open_socket(server, "/upstream/lab/echo/live/chat?a=1") as socket:
        heard = json.loads(socket.recv())
        assert heard["path"].startswith("/live/chat")
        socket.send("grüße")
        assert socket.recv() == "grüße"
        socket.send(b"\x00\x01\x02")
        assert socket.recv() == b"\x02\x01\x00"
        socket.send("x" * 1_000_000)
        assert len(socket.recv()) == 1_000_000


def test_the_engine_sees_the_clients_headers_but_no_credentials(server: RunningServer) -> None:
    headers = {"Authorization": "Bearer secret-1", "Cookie": "a=secret-2", "X-Kept": "yes"}
    path = "/upstream/lab/echo/?api_key=secret-3&b=1"
    with open_socket(server, path, additional_headers=headers) as socket:
        heard = socket.recv()
        assert "secret" not in str(heard)
        assert json.loads(heard)["headers"]["x-kept"] == "yes"


def test_a_subprotocol_is_agreed_between_the_ends(server: RunningServer) -> None:
    with open_socket(server, "/upstream/lab/echo/", subprotocols=["speech", "x"]) as socket:
        assert socket.subprotocol == "speech"


def test_the_engines_close_reaches_the_client(server: RunningServer) -> None:
    with open_socket(server, "/upstream/lab/echo/") as socket:
        socket.recv()
        socket.send("close 4321 enough")
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "enough")


def test_a_slow_client_gets_everything_in_order(server: RunningServer) -> None:
    with open_socket(server, "/upstream/lab/echo/", max_queue=1) as socket:
        socket.recv()
        socket.send("flood 400")
        socket.send("the end")
        sizes = [len(socket.recv()) for _ in range(400)]
        assert sizes == [FLOOD_BYTES] * 400
        assert socket.recv() == "the end"


def test_an_engine_that_dies_closes_the_socket_with_a_word(server: RunningServer) -> None:
    with open_socket(server, "/upstream/lab/echo/") as socket:
        socket.recv()
        socket.send("die")
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011
    running = f"{server.url}/running"
    wait_until(lambda: not requests.get(running, timeout=30).json()["running"], "the engine's end")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/upstream/nobody/", 4404),
        ("/elsewhere", 4404),
        ("/upstream/lab/echo/refuse", 4502),
        ("/upstream/lab/echo/%u0074ools", 4400),
    ],
)
def test_what_cannot_be_joined_is_closed_with_a_reason(
    server: RunningServer, path: str, code: int
) -> None:
    with open_socket(server, path) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert caught.value.rcvd.reason


def test_a_client_that_leaves_gives_its_place_back(server: RunningServer) -> None:
    # The model serves ten at once; eleven would wait if one of them were still counted.
    for _ in range(11):
        with open_socket(server, "/upstream/lab/echo/") as socket:
            socket.recv()


def test_a_socket_is_counted_in_the_usage(server: RunningServer) -> None:
    path = "/upstream/lab/echo/counted"
    with open_socket(server, path) as socket:
        socket.recv()
        live = requests.get(f"{server.url}/api/requests/live", timeout=30).json()["requests"]
        assert [one["path"] for one in live if one["path"] == path] == [path]
    with open_socket(server, path + "/closed") as socket:
        socket.recv()
        socket.send("close 4321 enough")
        with pytest.raises(ConnectionClosed):
            socket.recv()

    def rows() -> list[dict[str, Any]]:
        reply = requests.get(f"{server.url}/api/requests?path={path}", timeout=30)
        found: list[dict[str, Any]] = reply.json()["requests"]
        return found

    wait_until(lambda: len(rows()) == 2, "a row for each socket")
    closed, left = rows()
    assert (left["model"], left["status"], left["error"]) == ("lab/echo", 101, "")
    assert left["streamed"] and left["engineSeconds"] > 0
    assert (closed["path"], closed["status"], closed["error"]) == (path + "/closed", 101, "")


def test_a_model_named_elsewhere_a_moment_ago_can_be_joined(server: RunningServer) -> None:
    """Another process wrote it; the server's own look comes only a few times a second."""
    name_it = """
from models_app.models import ModelAlias, ServedModel
ModelAlias.objects.create(alias="{0}", model=ServedModel.objects.get(model_id="lab/echo"))
print("named")
"""
    for number in range(3):
        alias = f"named-{number}"
        assert in_home(server.home, name_it.format(alias)).strip() == "named"
        with open_socket(server, f"/upstream/{alias}/") as socket:
            assert json.loads(socket.recv())["path"] == "/"
