"""Two servers with node names of their own, on one PostgreSQL and one Redis."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ggufs import write_reciter
from tests.hub import Hub, running_hub
from tests.lan import DATABASE_URL, REDIS_URL
from tests.server import KEYED, RunningServer, running_server, wait_until
from tests.services import NAME, PostgreSql, postgresql, redis_server

pytestmark = [pytest.mark.engine, pytest.mark.in_order]

FETCHED = ("cat", "owl")
"""The model that each of the nodes is told to fetch."""


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[PostgreSql, dict[str, str]]]:
    with postgresql() as database, redis_server() as broker:
        with database.connect() as connection:
            connection.execute(f"CREATE DATABASE {NAME}".encode())
        yield database, {DATABASE_URL: database.url, REDIS_URL: broker.url}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    files = [write_reciter(folder / f"{name}-f32.gguf", f"The {name}.") for name in FETCHED]
    with running_hub() as running:
        running.add("owner/repo", {file.name: file for file in files})
        yield running


@pytest.fixture(scope="module")
def nodes(
    services: tuple[PostgreSql, dict[str, str]],
    hub: Hub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningServer, RunningServer]]:
    """The first goes by the name that everybody has who chose none."""
    env = {**services[1], "CLARACORE_HF_ENDPOINT": hub.url, "CLARACORE_PRIVATE_HOSTS": "127.0.0.1"}
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    write_reciter(one / "fox-f32.gguf", "The quick brown fox.")
    write_reciter(two / "dog-f32.gguf", "The lazy dog.")
    with (
        running_server(one, home=tmp_path_factory.mktemp("home"), env=env) as first,
        running_server(
            two, home=tmp_path_factory.mktemp("home"), env={**env, "CLARACORE_NODE": "gpu-2"}
        ) as second,
    ):
        first.wait_for_models("fox")
        second.wait_for_models("dog")
        yield first, second


def test_a_server_with_a_name_needs_neither_of_them(tmp_path: Path) -> None:
    """Its broker keeps files, which take fewer names than Redis does."""
    write_reciter(tmp_path / "fox-f32.gguf", "The quick brown fox.")
    with running_server(tmp_path, env={"CLARACORE_NODE": "lab_7.north-b"}) as server:
        server.wait_for_models("fox")


def rows(services: tuple[PostgreSql, dict[str, str]], query: str) -> list[tuple[Any, ...]]:
    with services[0].connect(NAME) as connection:
        return connection.execute(query.encode()).fetchall()


def says(server: RunningServer, model: str) -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Go on."}]}
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=240)


def test_each_offers_and_loads_what_lies_on_it(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    for server, own, others in zip(nodes, ("fox", "dog"), ("dog", "fox"), strict=True):
        assert server.models() == [own]
        assert own in says(server, own).json()["choices"][0]["message"]["content"]
        assert says(server, others).status_code == 404


def test_a_scan_on_one_leaves_the_files_of_the_other(
    nodes: tuple[RunningServer, RunningServer],
    services: tuple[PostgreSql, dict[str, str]],
) -> None:
    query = "SELECT node, state, last_seen_at FROM models_app_gguffile ORDER BY node"
    before = rows(services, query)
    assert [row[:2] for row in before] == [("gpu-2", "ok"), ("main", "ok")]
    folder = rows(services, "SELECT path FROM models_app_modelfolder WHERE node = 'gpu-2'")[0][0]
    body = {"folderPath": folder, "addToDatabase": True}
    reply = requests.post(f"{nodes[1].url}/api/config/scan-folder", json=body, timeout=240)
    assert reply.ok, reply.text
    after = rows(services, query)
    assert after[1] == before[1]
    assert after[0][2] > before[0][2]


def test_each_fetches_what_was_asked_of_it(
    nodes: tuple[RunningServer, RunningServer],
    services: tuple[PostgreSql, dict[str, str]],
    hub: Hub,
) -> None:
    for server, name in zip(nodes, FETCHED, strict=True):
        body = {"url": hub.file_url("owner/repo", f"{name}-f32.gguf"), "modelId": name}
        reply = requests.post(
            f"{server.url}/api/models/download", json=body, headers=KEYED, timeout=60
        )
        assert reply.ok, reply.text
    query = "SELECT node, status, owner, folder, error FROM downloads_app_download ORDER BY node"
    wait_until(
        lambda: {row[1] for row in rows(services, query)} == {"completed"},
        "both downloads",
        lambda: rows(services, query),
    )
    second, first = rows(services, query)
    assert (second[0], first[0]) == ("gpu-2", "main")
    for server, row, name in zip(nodes, (first, second), FETCHED, strict=True):
        assert Path(row[3]).is_relative_to(server.home)
        assert list(Path(row[3]).rglob(f"{name}-f32.gguf"))
        server.wait_for_models(name)
    assert FETCHED[0] not in nodes[1].models()


def test_a_name_stays_with_a_server_that_was_seen_just_now(
    nodes: tuple[RunningServer, RunningServer],
    services: tuple[PostgreSql, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Also when it was killed: it may be on its way up again, with its engines."""
    first, second = nodes
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    with (
        pytest.raises(AssertionError, match="goes by the node's name “main”"),
        running_server(home=tmp_path_factory.mktemp("home"), env=services[1]),
    ):
        raise AssertionError("it started")
    assert says(second, "dog").ok
