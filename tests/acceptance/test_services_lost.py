"""PostgreSQL and Redis end under load and come back: models are served on, nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ggufs import write_reciter
from tests.lan import DATABASE_URL, REDIS_URL
from tests.server import KEYED, RunningServer, running_server, wait_until
from tests.services import PostgreSql, Redis, Service, postgresql_with_database, redis_server

pytestmark = pytest.mark.engine

FOX = "The quick brown fox jumps over the lazy dog."
CLIENTS = 3
ENOUGH = 60
"""Answers in each part of a test: before the loss, during it, and after it."""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSql]:
    with postgresql_with_database() as service:
        yield service


@pytest.fixture(scope="module")
def broker() -> Iterator[Redis]:
    with redis_server() as service:
        yield service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "fox-f32.gguf", FOX)
    return folder


@pytest.fixture(scope="module")
def server(
    database: PostgreSql,
    broker: Redis,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    env = {DATABASE_URL: database.url, REDIS_URL: broker.url}
    with running_server(folder, home=home, env=env) as running:
        running.wait_for_models("fox")
        yield running


def says(server: RunningServer) -> str:
    body = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}
    reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"]).strip()


def ask_for_scan(server: RunningServer, folder: Path) -> None:
    """Without waiting for its end."""
    body = {"folderPath": str(folder), "addToDatabase": True}
    reply = requests.post(f"{server.url}/api/config/scan-folder?wait=0", json=body, timeout=60)
    assert reply.json()["code"] == "NOT_DONE_YET", reply.text


def readiness(server: RunningServer) -> dict[str, Any]:
    reply = requests.get(f"{server.url}/health/ready", timeout=30)
    assert reply.status_code == 200
    told: dict[str, Any] = reply.json()
    return told


def wait_for(server: RunningServer, service: str, status: str) -> None:
    wait_until(lambda: readiness(server)[service]["status"] == status, f"{service} {status}")


class Load:
    """Clients that ask the engine for a path of their own each time, and note every answer."""

    def __init__(self, server: RunningServer, name: str) -> None:
        self._server = server
        self._name = name
        self._over = threading.Event()
        self.statuses: dict[str, int] = {}
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: int) -> None:
        with requests.Session() as session:
            number = 0
            while not self._over.is_set():
                path = f"/upstream/fox/{self._name}/{client}/{number}"
                reply = session.get(self._server.url + path, headers=KEYED, timeout=60)
                self.statuses[path] = reply.status_code
                number += 1

    def wait_for_more(self) -> None:
        wanted = len(self.statuses) + ENOUGH
        wait_until(lambda: len(self.statuses) >= wanted, "more answers", self._server.said)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)


@contextmanager
def gone_under_load(server: RunningServer, service: Service, name: str) -> Iterator[Load]:
    """While clients ask, the service is killed, and started again at the end of the block."""
    assert says(server) == FOX
    load = Load(server, name)
    try:
        load.wait_for_more()
        service.stop(signal.SIGQUIT if name == "database" else signal.SIGKILL)
        try:
            wait_for(server, name, "lost")
            load.wait_for_more()
            yield load
        finally:
            service.start()
        wait_for(server, name, "ok")
        load.wait_for_more()
    finally:
        load.stop()


def counted(server: RunningServer, name: str) -> list[str]:
    """The paths of this load's rows."""
    rows: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"path=/upstream/fox/{name}/&limit=1000&cursor={cursor}"
        page = requests.get(f"{server.url}/api/requests?{query}", timeout=60).json()
        rows += [request["path"] for request in page["requests"]]
        cursor = page["next"]
    return rows


def all_were_answered_and_counted_once(server: RunningServer, load: Load, name: str) -> None:
    # The engine knows no such path and says so; that is an answer like any other.
    assert set(load.statuses.values()) == {404}
    wait_until(lambda: len(counted(server, name)) >= len(load.statuses), "all rows", server.said)
    assert sorted(counted(server, name)) == sorted(load.statuses)


def test_models_are_served_without_postgresql_and_no_usage_is_lost(
    server: RunningServer, database: PostgreSql
) -> None:
    assert readiness(server)["status"] == "ready"
    with gone_under_load(server, database, "database") as load:
        assert says(server) == FOX
        told = readiness(server)
        assert (told["status"], told["broker"]) == ("degraded", {"status": "ok"})
        unknown = requests.post(
            f"{server.url}/v1/completions", json={"model": "nobody", "prompt": "x"}, timeout=60
        )
        assert unknown.status_code == 404
    assert readiness(server)["status"] == "ready"
    all_were_answered_and_counted_once(server, load, "database")
    said = server.said()
    assert said.count("The database cannot be reached") == said.count("The database is back") == 1


def test_a_model_that_is_put_there_later_is_served_once_postgresql_is_back(
    server: RunningServer, folder: Path
) -> None:
    write_reciter(folder / "sea-f32.gguf", FOX)
    ask_for_scan(server, folder)
    server.wait_for_models("fox", "sea")


def test_models_are_served_without_redis_and_a_scan_asked_for_meanwhile_is_done(
    server: RunningServer, broker: Redis, folder: Path
) -> None:
    write_reciter(folder / "hill-f32.gguf", FOX)
    with gone_under_load(server, broker, "broker") as load:
        assert says(server) == FOX
        told = readiness(server)
        assert (told["status"], told["database"]) == ("degraded", {"status": "ok"})
        ask_for_scan(server, folder)
    server.wait_for_models("fox", "hill")
    all_were_answered_and_counted_once(server, load, "broker")
