"""A server that is killed or restarted keeps its loaded models."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import requests

from tests.acceptance.conftest import FOX, write_models
from tests.acceptance.test_lifecycle import chat
from tests.server import RunningServer, new_home, running_server, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models")


def ledger(home: Path) -> list[Path]:
    return sorted((home / "run" / "engines").glob("*.json"))


def kill(server: RunningServer) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def test_a_server_that_was_killed_is_followed_by_one_that_adopts_its_engines(
    folder: Path, tmp_path: Path
) -> None:
    """What nobody else has: "A restart of the server that keeps the engines"."""
    home = new_home(tmp_path / "home")
    with running_server(folder, home=home) as first:
        first.wait_for_models("fox")
        assert chat(first, "fox") == FOX
        wait_until(lambda: '"ready": true' in ledger(home)[0].read_text(), "the ledger's word")
        before = ledger(home)
        kill(first)
    with running_server(home=home) as second:
        running = requests.get(f"{second.url}/running", timeout=30).json()
        assert running == {"running": [{"model": "fox", "state": "ready"}]}
        assert chat(second, "fox") == FOX
        assert ledger(home) == before
        assert "Loading fox" not in second.said()
        assert second.stop() == 0
    assert ledger(home) == []
