"""Restarting engines and the server itself, while clients go on."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests

from tests import llama
from tests.acceptance.conftest import FOX, write_models
from tests.acceptance.test_lifecycle import chat, engines
from tests.processes import alive, command_of
from tests.server import RunningServer, running_server, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.in_order]

ANEW = "Starting anew."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(folder) as running:
        running.wait_for_models("fox", "sea", "endless")
        yield running


def engine_pid(server: RunningServer) -> int:
    (engine,) = engines(server)
    return engine.pid


def restart(server: RunningServer, path: str = "") -> dict[str, object]:
    reply = requests.post(f"{server.url}/api/server/restart{path}", timeout=120)
    assert reply.status_code == 200, reply.text
    told: dict[str, object] = reply.json()
    return told


def starts_anew(server: RunningServer) -> int:
    """How often the server has said that it starts anew."""
    return server.said().count(ANEW)


def restart_hard(server: RunningServer) -> None:
    """Until the next server serves."""
    before = starts_anew(server)
    assert restart(server, "/hard")["status"] == "restarting"
    wait_until(lambda: starts_anew(server) == before + 1, "the restart", server.said)


def test_a_restart_of_the_engines_starts_them_anew_with_the_same_server(
    server: RunningServer,
) -> None:
    chat(server, "fox")
    before = engine_pid(server)
    assert restart(server, "?only_changed=1")["restarting"] == []
    assert engine_pid(server) == before
    told = restart(server)
    assert told["status"] == "restarting"
    assert told["restarting"] == ["fox"]
    assert chat(server, "fox") == FOX
    assert engine_pid(server) != before


def change(server: RunningServer, model: str, column: str, value: str) -> None:
    with closing(sqlite3.connect(server.home / "claracore.sqlite3")) as database, database:
        database.execute(
            f"UPDATE models_app_servedmodel SET {column} = ? WHERE model_id = ?", (value, model)
        )


def test_only_a_model_whose_command_changed_restarts(server: RunningServer) -> None:
    """llama-swap PR#430: a reload stopped what did not change."""
    chat(server, "fox")
    before = engine_pid(server)
    change(server, "sea", "env", '["A=b"]')
    change(server, "fox", "description", "changed")
    restart(server, "?only_changed=1")
    assert chat(server, "fox") == FOX
    assert engine_pid(server) == before
    change(server, "fox", "env", '["A=b"]')
    restart(server, "?only_changed=1")
    wait_until(lambda: [one.pid for one in engines(server)] not in ([], [before]), "the restart")
    assert chat(server, "fox") == FOX


def in_flight(server: RunningServer, model: str) -> int:
    listed = requests.get(f"{server.url}/api/models", timeout=60).json()["models"]
    (count,) = [one["inFlight"] for one in listed if one["id"] == model]
    return int(count)


def test_a_long_answer_goes_on_beside_the_next_server(server: RunningServer) -> None:
    ask = {"model": "endless", "messages": [{"role": "user", "content": "go"}]}
    url = f"{server.url}/v1/chat/completions"
    with requests.post(url, json={**ask, "stream": True}, stream=True, timeout=120) as stream:
        pieces = stream.iter_content(None)
        assert next(pieces)
        engine = engine_pid(server)
        restart_hard(server)
        short = requests.post(url, json={**ask, "max_tokens": 2}, timeout=120)
        assert short.ok, short.text
        assert engine_pid(server) == engine
        assert in_flight(server, "endless") == 1
        for _ in range(20):
            assert next(pieces)


def test_requests_in_flight_are_answered_before_a_hard_restart(server: RunningServer) -> None:
    chat(server, "fox")
    stop, answers = threading.Event(), []

    def talk() -> None:
        while not stop.is_set():
            answers.append(chat(server, "fox"))

    clients = [threading.Thread(target=talk) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(answers) > 8, "the load")
        restart_hard(server)
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 8, "answers of the new server", server.said)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert set(answers) == {FOX}


def test_a_hard_restart_keeps_process_port_and_loaded_models(server: RunningServer) -> None:
    """The first implementation's L3: its hard restart ended the service."""
    chat(server, "fox")
    engine, refused, stop = engine_pid(server), [], threading.Event()
    loads = server.said().count("Loading fox")
    port = int(server.url.rpartition(":")[2])

    def knock() -> None:
        while not stop.wait(0.01):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
            except OSError as error:
                refused.append(error)

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        for _ in range(2):
            restart_hard(server)
            assert chat(server, "fox") == FOX
            assert engine_pid(server) == engine
    finally:
        stop.set()
        knocking.join()
    assert refused == []
    assert server.process.poll() is None
    assert server.said().count("Loading fox") == loads
    assert server.stop() == 0


# ---- Each with a server of its own ------------------------------------------------------------


def next_server(server: RunningServer) -> psutil.Process:
    """The one that serves in place of the process that was started."""
    (follower,) = next_servers(server)
    return follower


def next_servers(server: RunningServer) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "serve" in command_of(child.pid)]


def test_who_kills_the_process_that_was_started_ends_the_server_that_followed(
    tmp_path: Path,
) -> None:
    with running_server(arguments=["--no-worker"]) as server:
        restart_hard(server)
        wait_until(lambda: "keeper.py" in command_of(server.process.pid), "the keeper")
        follower = next_server(server)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not alive(follower.pid), "the server's end")


def test_a_program_that_would_not_start_leaves_the_server_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    engine = llama.binary()
    assert engine is not None
    program.symlink_to(engine)
    with running_server(
        arguments=["--no-worker"], env={"CLARACORE_LLAMA_SERVER": str(program)}
    ) as server:
        program.unlink()
        reply = requests.post(f"{server.url}/api/server/restart/hard", timeout=120)
        assert reply.status_code == 500
        assert reply.json()["code"] == "WOULD_NOT_START"
        assert str(program) in reply.json()["details"]
        assert requests.get(f"{server.url}/health", timeout=60).ok
        assert server.process.poll() is None


def test_a_second_hard_restart_is_refused_while_the_first_is_on_its_way() -> None:
    with running_server(arguments=["--no-worker"]) as server:
        first = threading.Thread(target=restart, args=(server, "/hard"))
        first.start()
        wait_until(lambda: next_servers(server), "the next server")
        reply = requests.post(f"{server.url}/api/server/restart/hard", timeout=120)
        assert (reply.status_code, reply.json()["code"]) == (409, "ALREADY_RESTARTING")
        first.join()
        wait_until(lambda: starts_anew(server) == 1, "the restart", server.said)
        assert requests.get(f"{server.url}/health", timeout=60).ok
        wait_until(lambda: "keeper.py" in command_of(server.process.pid), "the keeper")
        assert len(next_servers(server)) == 1
        assert server.stop() == 0


def test_the_server_runs_itself_anew_when_the_next_one_dies_while_it_takes_over(
    folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    command = f"{llama.binary()} --port ${{PORT}} -c 512 -m {folder / 'fox-f32.gguf'}"
    config.write_text(f"models: {{fox: {{cmd: '{command}'}}}}\n")
    with running_server(arguments=["--config", str(config), "--no-worker"]) as server:
        chat(server, "fox")
        engine = engine_pid(server)
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=60) as unfinished:
            # A request that is still being sent holds the handover up, with the next one waiting.
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99"
            unfinished.sendall(f"{head}\r\n\r\n{{".encode())
            restart(server, "/hard")
            next_server(server).kill()
        assert chat(server, "fox") == FOX
        assert "manage.py" in command_of(server.process.pid)
        assert next_servers(server) == []
        assert engine_pid(server) == engine
        assert server.stop() == 0
