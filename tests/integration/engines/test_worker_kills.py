"""The kill matrix of a build's installation: its worker is killed while it works on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.hub.content import Fault
from tests.integration.engines.conftest import NAME
from tests.integration.test_worker import Home, home
from tests.release_server import as_tar, running_releases
from tests.server import wait_until

__all__ = ["home"]

ORDERS = (
    "from datetime import timedelta; from django.utils import timezone; "
    "from downloads_app.engines import orders; from models_app import hardware; "
)
LATER = "timezone.now() + 2 * leases.LEASE"
"""Nobody waits for the lease here: the sweep is told what time it is."""


def install(home: Home) -> dict[str, Any]:
    """The row of the one build there is."""
    with closing(sqlite3.connect(home.path / "claracore.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return dict(database.execute("SELECT * FROM models_app_engineinstall").fetchone())


def until(home: Home, what: str, **columns: Any) -> None:
    def so() -> bool:
        row = install(home)
        return all(row[name] == value for name, value in columns.items())

    wait_until(so, what, lambda: f"{install(home)}\n{home.log.read_text()}")


def test_a_build_whose_worker_is_killed_is_installed_by_the_next(
    home: Home, small: Path, tmp_path: Path
) -> None:
    archive = as_tar(small, tmp_path / NAME.format("b9001"), "b9001")
    with running_releases() as releases:
        releases.add("b9001", archive)
        releases.faults.append(Fault("stall", -1, after=1000, at="asset"))
        home.env = {"CLARACORE_RELEASES_URL": releases.url, "CLARACORE_PRIVATE_HOSTS": "127.0.0.1"}
        home.do(ORDERS + "orders.place(orders.Order(version='b9001', backend='cpu'))")
        assert install(home)["status"] == "queued"
        with home.worker() as worker:
            until(home, "the fetching", status="running", phase="fetching")
            wait_until(lambda: releases.asked, "the request for the file")
            worker.kill()
            worker.wait()
        assert install(home)["status"] == "running"
        home.do(ORDERS + f"orders.sweep({LATER})")
        row = install(home)
        assert (row["status"], row["attempts"]) == ("queued", 1)
        releases.faults.clear()
        with home.worker():
            until(home, "the installation", status="trying")
    engines = home.path / "engines"
    assert [path.name for path in engines.iterdir() if path.is_dir()] == ["b9001-cpu"]
    assert (engines / "b9001-cpu").is_dir()
