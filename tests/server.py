"""The real server as a child process, for tests and benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import requests

from tests import lan

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_SECONDS = 240
STOP_LIMIT_SECONDS = 120
DATABASE = "claracore.sqlite3"

KEYED = {"Authorization": "Bearer any"}
"""Whatever key: no page of another site can send one, so a GET may load a model and a form pass."""


@dataclass
class RunningServer:
    """A started server: where it is, and where it keeps its things."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    console: Path

    def said(self) -> str:
        """Everything it printed so far."""
        return self.console.read_text(errors="replace")

    def models(self) -> list[str]:
        reply = requests.get(f"{self.url}/v1/models", timeout=10)
        return [item["id"] for item in reply.json()["data"]]

    def wait_for_models(self, *names: str) -> None:
        """Until all of them are listed."""
        wait_until(lambda: set(names) <= set(self.models()), f"the models {names}", self.said)

    def stop(self) -> int:
        """As Ctrl-C does; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=STOP_LIMIT_SECONDS)


def wait_until(condition: object, what: str, said: object = lambda: "") -> None:
    """Poll a condition, failing with what was said when it takes far too long."""
    assert callable(condition) and callable(said)
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about.\n{said()}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without its CLARACORE_ variables, with a home of its own.

    Bytecode is kept: compiling the project takes a server's start a second of processor time.
    Where tests run on PostgreSQL and Redis, a home has its own database and broker there.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CLARACORE_")
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["DJANGO_SETTINGS_MODULE"] = "claracore_site.settings"
    own = {"CLARACORE_HOME": str(home), **lan.of_home(home)}
    return {**environment, **own, **(extra or {})}


def new_home(path: Path) -> Path:
    """Make an empty home with all tables; give back its path."""
    path.mkdir()
    make_tables(path)
    return path


def make_tables(home: Path) -> None:
    """Give a new home a database with all tables: making them takes a server four seconds."""
    if lan.is_on():
        lan.of_home(home, with_tables=True)
    else:
        (home / DATABASE).write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory(prefix="claracore-") as scratch:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"],
            cwd=ROOT,
            env=clean_environment(Path(scratch)),
            check=True,
        )
        return (Path(scratch) / DATABASE).read_bytes()


@contextmanager
def running_server(
    folder: Path | None = None,
    *,
    arguments: Sequence[str] = (),
    home: Path | None = None,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    own_session: bool = False,
) -> Iterator[RunningServer]:
    """`manage.py serve` on a free port with a temporary home, stopped at the end.

    A `home` that is given is taken as it is; without tables, the server makes them.
    `prefix` goes before the command, for example to bind it to a processor. In its `own_session`
    it is weighed apart from whoever starts it, as a service is.
    """
    with tempfile.TemporaryDirectory(prefix="claracore-", ignore_cleanup_errors=True) as scratch:
        if home is None:
            home = new_home(Path(scratch) / "home")
        home.mkdir(parents=True, exist_ok=True)
        console = Path(scratch) / "console.txt"
        port = free_port()
        command = [*prefix, sys.executable, "manage.py", "serve", "--port", str(port)]
        if folder is not None:
            command += ["--models-folder", str(folder)]
        with console.open("wb") as out:
            process = subprocess.Popen(
                [*command, *arguments],
                cwd=ROOT,
                env=clean_environment(home, env),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=own_session,
            )
        server = RunningServer(f"http://127.0.0.1:{port}", home, process, console)
        try:
            _wait_for_health(server)
            yield server
        finally:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _wait_for_health(server: RunningServer) -> None:
    def healthy() -> bool:
        if server.process.poll() is not None:
            raise AssertionError(f"The server ended at once.\n{server.said()}")
        try:
            return requests.get(f"{server.url}/health", timeout=2).ok
        except requests.ConnectionError:
            return False

    wait_until(healthy, "the server's health", server.said)
