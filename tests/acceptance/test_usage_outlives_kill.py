"""SIGKILL of the whole server under load: what was answered is still counted, and once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import requests

from tests.listening import listening
from tests.server import KEYED, RunningServer, new_home, running_server, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.lan]

CLIENTS = 6
ANSWERS = 400
GENEROUS_SECONDS = 1.0
"""Rows are written down within 50 ms; a machine that is busy may be late with everything."""


class Load:
    """Clients that ask for a path of their own each time, until the server is gone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answered: dict[str, float] = {}
        """When each path was answered, in seconds since 1970."""
        self.asked: set[str] = set()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: int) -> None:
        with requests.Session() as session:
            for number in range(1_000_000):
                # The engine knows no such path and says so; that is an answer like any other.
                path = f"/upstream/fox/{client}/{number}"
                self.asked.add(path)
                try:
                    session.get(self._url + path, headers=KEYED, timeout=60)
                except requests.RequestException:
                    return
                self.answered[path] = time.time()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=60)


def counted(server: RunningServer) -> Counter[str]:
    """How many rows there are of each path."""
    rows: Counter[str] = Counter()
    cursor: str | None = ""
    while cursor is not None:
        address = f"{server.url}/api/requests?path=/upstream/fox/&limit=1000&cursor={cursor}"
        page = requests.get(address, timeout=60).json()
        rows.update(request["path"] for request in page["requests"])
        cursor = page["next"]
    return rows


def test_no_row_is_lost_or_doubled_and_listeners_find_the_state_again(
    models_folder: Path, tmp_path: Path
) -> None:
    home = new_home(tmp_path / "home")
    with running_server(models_folder, home=home) as server:
        server.wait_for_models("fox")
        body = {"model": "fox", "prompt": "Go on"}
        assert requests.post(f"{server.url}/v1/completions", json=body, timeout=90).ok
        assert counted(server) == {}  # Has the request above taken over into the database.
        with listening(server):
            load = Load(server.url)
            wait_until(lambda: len(load.answered) >= ANSWERS, "enough answers")
            os.kill(server.process.pid, signal.SIGKILL)
            killed = time.time()
            load.join()
        server.process.wait(timeout=30)
    with running_server(models_folder, home=home) as again:
        again.wait_for_models("fox")
        rows = counted(again)
        with listening(again) as heard:
            states = heard.of("modelStatus")[0]
            assert "fox" in {model["id"] for model in states}
            earlier = heard.of("metrics")[0]
            assert [metric["model"] for metric in earlier] == ["fox"]
            assert requests.get(f"{again.url}/upstream/fox/health", headers=KEYED, timeout=90).ok
            heard.wait_for(lambda: _state(heard.of("modelStatus")[-1]) == "ready", "the model")
    missing = {path: at for path, at in load.answered.items() if path not in rows}
    window = max((killed - at for at in missing.values()), default=0.0)
    print(
        f"{len(load.answered)} answers, {len(missing)} rows missing, all of the last "
        f"{window * 1000:.0f} ms"
    )
    assert window < GENEROUS_SECONDS
    assert [path for path, count in rows.items() if count > 1] == []
    assert rows.keys() <= load.asked


def _state(models: list[dict[str, str]]) -> str:
    return next(model["state"] for model in models if model["id"] == "fox")
