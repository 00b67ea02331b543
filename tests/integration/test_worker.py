"""The real Celery worker, as the server starts it."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy_app.journal import Journal
from proxy_app.worker import command
from tests import home_database
from tests.ggufs import write_reciter
from tests.server import ROOT, clean_environment, make_tables, wait_until
from tests.unit.test_records import line

pytestmark = pytest.mark.lan

STOP_LIMIT_SECONDS = 30
SETUP = "import django; django.setup(); from models_app import folders, leases, scan_runs; "
ARRAY, STRING = 9, 8


class Home:
    """A CLARACORE_HOME with a database of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env: dict[str, str] = {}
        """Further settings."""
        self.log = path.parent / "worker.log"

    def python(self, *arguments: str) -> str:
        """Run Python in this home and give back what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=clean_environment(self.path, self.env),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout

    def do(self, code: str) -> str:
        """Run a line that may use `folders` and `scan_runs`."""
        return self.python("-c", SETUP + code).strip()

    def run(self) -> dict[str, Any]:
        """The newest scan's row."""
        query = "SELECT * FROM models_app_scanrun ORDER BY id DESC LIMIT 1"
        (newest,) = home_database.rows(self.path, query)
        return newest

    def wait(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Until the newest scan's row is as wanted."""
        wait_until(lambda: condition(self.run()), what, lambda: self.log.read_text())
        return self.run()

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command(),
                cwd=ROOT,
                env=clean_environment(self.path, self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_SECONDS)
            finally:
                process.kill()
                process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    make_tables(home.path)
    return home


def write_slow(path: Path, items: int = 4_000_000) -> None:
    """A file whose header takes long to step over: millions of empty strings, all in a hole."""
    key = b"tokenizer.ggml.tokens"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    head += struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", ARRAY, STRING, items)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 8 * items + 32)


def completed(run: dict[str, Any]) -> bool:
    assert run["status"] != "failed", run["problem"]
    return bool(run["status"] == "completed")


def test_a_worker_does_the_scan_that_was_asked_for(home: Home, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "fox-q4_k_m.gguf", "Hello there.")

    with home.worker():
        home.do(f"folders.add({str(models)!r}); scan_runs.request()")
        run = home.wait(completed, "the scan's end")

    assert (run["total"], run["processed"], run["attempts"]) == (1, 1, 1)


def test_a_scan_whose_worker_was_killed_is_completed_by_the_next(
    home: Home, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for number in range(24):
        write_slow(models / f"slow{number}.gguf")
    write_reciter(models / "zebra.gguf", "Hello there.")

    with home.worker() as worker:
        home.do(f"folders.add({str(models)!r}); scan_runs.request()")
        home.wait(lambda run: bool(run["processed"]), "the scan's middle")
        worker.kill()
        worker.wait()
    run = home.run()
    assert (run["status"], run["finished_at"]) == ("running", None)

    for path in models.glob("slow*"):
        path.unlink()
    with home.worker():
        later = "from django.utils import timezone; now = timezone.now() + 2 * leases.LEASE; "
        # Nobody waits for the lease here: the sweep is told what time it is.
        assert home.do(later + "print(len(scan_runs.sweep(now)))") == "1"
        run = home.wait(completed, "the scan's end")

    assert run["attempts"] == 2
    assert "zebra" in home.do("from models_app.models import *; print(ServedModel.objects.get())")
    shutil.rmtree(models)


def test_a_scan_asked_for_when_the_worker_is_killed_is_done_by_the_next(
    home: Home, tmp_path: Path
) -> None:
    """The worker's other states in the kill matrix: idle, and queued. Above it is scanning."""
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "fox-q4_k_m.gguf", "Hello there.")

    with home.worker() as worker:
        home.do(f"folders.add({str(models)!r}); scan_runs.request()")
        first = home.wait(completed, "the first scan's end")
        worker.kill()  # idle
        worker.wait()
    home.do("scan_runs.request()")
    assert home.run()["status"] == "queued"
    with home.worker() as worker:
        second = home.wait(completed, "the second scan's end")
        worker.send_signal(signal.SIGSTOP)
        home.do("scan_runs.request()")
        assert home.run()["status"] == "queued"
        worker.kill()
        worker.wait()
    with home.worker():
        third = home.wait(completed, "the third scan's end")
    assert first["id"] < second["id"] < third["id"]
    assert [run["attempts"] for run in (first, second, third)] == [1, 1, 1]


def test_usage_is_taken_over_once_however_often_the_worker_is_killed(home: Home) -> None:
    journal = Journal(home.path / "journal")
    written = 0

    def rows() -> int:
        query = "SELECT count(*) AS number FROM proxy_app_usagerow"
        return int(home_database.rows(home.path, query)[0]["number"])

    for _ in range(2):
        with home.worker() as worker:
            before = rows()
            for _ in range(20):
                journal.append([line(at=time.time()) for _ in range(150)])
                written += 150
            wait_until(lambda before=before: rows() > before, "the first rows", home.log.read_text)
            worker.kill()
            worker.wait()
    with home.worker():
        wait_until(lambda: rows() >= written, "all rows", home.log.read_text)
    assert rows() == written
