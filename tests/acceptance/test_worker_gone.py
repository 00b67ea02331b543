"""A server whose worker is not there: calls that need it say so, and nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import requests

from tests.ggufs import write_reciter
from tests.server import running_server

pytestmark = pytest.mark.engine

LIMIT = 60


def test_scans_without_a_worker_are_kept_and_done_when_one_comes(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox-f32.gguf", "Hello there.")
    body = {"folderPath": str(folder), "addToDatabase": True}
    with running_server(home=home, arguments=["--no-worker"]) as server:
        scan = f"{server.url}/api/config/scan-folder?wait=0.2"
        reply = requests.post(scan, json=body, timeout=LIMIT)
        assert (reply.status_code, reply.json()["code"]) == (503, "NOT_DONE_YET")
        run = reply.json()["runId"]
        _was_asked_for_long_ago(home, run)
        # The same scan still waits, so it is not asked for twice.
        reply = requests.post(scan, json=body, timeout=LIMIT)
        assert (reply.status_code, reply.json()["code"]) == (503, "WORKER_GONE")
        assert reply.json()["runId"] == run
        body = {"folderPath": str(folder)}
        reply = requests.post(
            f"{server.url}/api/config/generate-all?wait=0", json=body, timeout=LIMIT
        )
        assert (reply.status_code, reply.json()["runId"]) == (503, run)
        assert server.models() == []
    with running_server(home=home) as server:
        server.wait_for_models("fox")
        progress = requests.get(f"{server.url}/api/setup/progress", timeout=LIMIT).json()
        assert (progress["id"], progress["status"]) == (run, "completed")


def _was_asked_for_long_ago(home: Path, run: int) -> None:
    """A worker has half a minute to come; nobody waits for that here."""
    with sqlite3.connect(home / "claracore.sqlite3", timeout=LIMIT) as database:
        database.execute(
            "UPDATE models_app_scanrun SET created_at = datetime(created_at, '-1 hour') "
            "WHERE id = ?",
            (run,),
        )
