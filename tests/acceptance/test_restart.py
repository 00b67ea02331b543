"""Restarting engines and the server itself, while clients go on."""

from __future__ import annotations

import socket
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.acceptance.conftest import FOX, write_models
from tests.acceptance.test_lifecycle import chat, engines
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models")


def engine_pid(server: RunningServer) -> int:
    (engine,) = engines(server)
    return engine.pid


def restart(server: RunningServer, path: str = "") -> dict[str, object]:
    reply = requests.post(f"{server.url}/api/server/restart{path}", timeout=120)
    assert reply.status_code == 200, reply.text
    told: dict[str, object] = reply.json()
    return told


def said_to_start_anew(server: RunningServer, times: int) -> bool:
    return server.said().count("Starting anew.") == times


def test_a_restart_of_the_engines_starts_them_anew_with_the_same_server(folder: Path) -> None:
    with running_server(folder) as server:
        server.wait_for_models("fox")
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


def test_only_a_model_whose_command_changed_restarts(folder: Path) -> None:
    """llama-swap PR#430: a reload stopped what did not change."""
    with running_server(folder) as server:
        server.wait_for_models("fox", "sea")
        chat(server, "fox")
        before = engine_pid(server)
        change(server, "sea", "env", '["A=b"]')
        change(server, "fox", "description", "changed")
        restart(server, "?only_changed=1")
        assert chat(server, "fox") == FOX
        assert engine_pid(server) == before
        change(server, "fox", "env", '["A=b"]')
        restart(server, "?only_changed=1")
        wait_until(
            lambda: [one.pid for one in engines(server)] not in ([], [before]), "the restart"
        )
        assert chat(server, "fox") == FOX


def test_a_hard_restart_keeps_process_port_and_loaded_models(folder: Path) -> None:
    """The first implementation's L3: its hard restart ended the service."""
    with running_server(folder) as server:
        server.wait_for_models("fox")
        chat(server, "fox")
        engine, refused, stop = engine_pid(server), [], threading.Event()
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
            for turn in (1, 2):
                assert restart(server, "/hard")["status"] == "restarting"
                wait_until(partial(said_to_start_anew, server, turn), "the restart", server.said)
                assert chat(server, "fox") == FOX
                assert engine_pid(server) == engine
        finally:
            stop.set()
            knocking.join()
        assert refused == []
        assert server.process.poll() is None
        assert server.said().count("Loading fox") <= 1
        assert server.stop() == 0


def test_requests_in_flight_are_answered_before_a_hard_restart(folder: Path) -> None:
    with running_server(folder) as server:
        server.wait_for_models("fox")
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
            restart(server, "/hard")
            wait_until(lambda: "Starting anew." in server.said(), "the restart", server.said)
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 8, "answers of the new server", server.said)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert set(answers) == {FOX}
