"""A backup taken on SQLite, restored to PostgreSQL: the server then says the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ggufs import write_embedder, write_reciter
from tests.lan import DATABASE_URL, REDIS_URL
from tests.server import ROOT, RunningServer, clean_environment, running_server, wait_until
from tests.services import NAME, postgresql, redis_server

pytestmark = pytest.mark.engine

ASKED = (
    "/v1/models",
    "/api/config",
    "/api/config/folders",
    "/api/settings/system",
    "/api/models/downloads",
    "/api/usage?by=day",
    "/api/requests",
    "/api/keys",
)
CHANGES_BY_ITSELF = {"since", "until", "created", "lastUsed", "last_used_at", "uptime"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "models"
    place.mkdir()
    write_reciter(place / "fox-f32.gguf", "The quick brown fox.")
    write_embedder(place / "letters-f32.gguf")
    return place


def manage(env: dict[str, str], *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def told(server: RunningServer) -> dict[str, Any]:
    found = {}
    for path in ASKED:
        reply = requests.get(server.url + path, timeout=60)
        found[path] = (reply.status_code, _lasting(reply, server.home))
    return found


def _lasting(reply: requests.Response, home: Path) -> Any:
    """An answer without what need not be the same.

    A server downloads into its own home unless it was told another folder, so the home's path is
    all by which `downloadDir` may differ.
    """
    text = reply.text.replace(f"{home}/", "HOME/")
    if "json" not in reply.headers["content-type"]:
        return text
    return _without(json.loads(text))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in CHANGES_BY_ITSELF}
    if isinstance(value, list):
        return [_without(part) for part in value]
    return value


@pytest.fixture
def services() -> Iterator[dict[str, str]]:
    with postgresql() as database, redis_server() as broker:
        with database.connect() as connection:
            connection.execute(f"CREATE DATABASE {NAME}".encode())
        yield {DATABASE_URL: database.url, REDIS_URL: broker.url}


def test_the_answers_are_the_same(folder: Path, tmp_path: Path, services: dict[str, str]) -> None:
    old, new, archive = tmp_path / "old", tmp_path / "new", str(tmp_path / "backup.zip")
    new.mkdir(mode=0o700)
    with running_server(folder, home=old) as server:
        server.wait_for_models("fox", "letters")
        chat = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}
        assert requests.post(f"{server.url}/v1/chat/completions", json=chat, timeout=120).ok
        rows = f"{server.url}/api/requests"
        wait_until(lambda: "fox" in requests.get(rows, timeout=30).text, "the row", server.said)
        manage(clean_environment(old), "backup", archive)
        before = told(server)
    manage(clean_environment(new, services), "restore", archive)
    with running_server(home=new, env=services) as server:
        server.wait_for_models("fox", "letters")
        after = told(server)
        assert requests.post(f"{server.url}/v1/chat/completions", json=chat, timeout=120).ok
    for path in ASKED:
        assert before[path][0] == 200, (path, before[path])
        assert _lines(after[path]) == _lines(before[path]), path


def _lines(value: Any) -> list[str]:
    """For a difference that can be read."""
    return json.dumps(value, indent=1, sort_keys=True).replace("\\n", "\n").splitlines()
