from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from proxy_app.ledger import Ledger
from proxy_app.process import EngineState
from tests.processes import (
    HANG_SECONDS,
    ROOT,
    alive,
    child_in,
    eventually,
    fake_engine,
    session_members,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children outlive a killed guard")

STARTING, READY, STOPPING = EngineState.STARTING, EngineState.READY, EngineState.STOPPING
OPTIONS = {STARTING: ("--load-seconds", "600"), READY: (), STOPPING: ("--ignore-sigterm",)}


class Scene:
    """A server whose engine has a child and is in a given state."""

    def __init__(self, folder: Path, state: EngineState) -> None:
        command = fake_engine("--fork-child", *OPTIONS[state])
        self.ledger = Ledger(folder)
        self._log = folder / "engine.log"
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.engine_host", str(folder), state, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self.hears(state)
        assert eventually(lambda: child_in(self._log) and self.ledger.entries())
        (self.entry,) = self.ledger.entries()
        child = child_in(self._log)
        assert child is not None
        self.child = child

    def hears(self, state: EngineState) -> bool:
        """Whether the server tells that its engine has come into a state."""
        assert self.server.stdout is not None
        return any(line.strip() == state for line in self.server.stdout)

    def victims(self, names: tuple[str, ...]) -> list[int]:
        pids = {
            "engine": self.entry.pid,
            "child": self.child,
            "guard": self.entry.guard_pid,
            "server": self.server.pid,
        }
        return [pids[name] for name in names]

    def is_over(self) -> bool:
        """Whether nothing of the engine is left, its guard included."""
        pids = (self.entry.pid, self.child, self.entry.guard_pid)
        return not session_members(self.entry.pid) and not any(map(alive, pids))


@contextmanager
def scene(folder: Path, state: EngineState) -> Iterator[Scene]:
    scene = Scene(folder, state)
    try:
        yield scene
    finally:
        scene.server.communicate(timeout=HANG_SECONDS)


def kill(pids: list[int]) -> None:
    """All at once: nobody gets a chance to react in between."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


@pytest.mark.parametrize(
    ("state", "victim"), list(product(OPTIONS, ("engine", "guard", "server", "child")))
)
def test_whoever_is_killed_nothing_of_the_engine_is_left(
    tmp_path: Path, state: EngineState, victim: str
) -> None:
    with scene(tmp_path, state) as at:
        kill(at.victims((victim,)))
        if victim == "child":  # Its death is no reason to end the engine; the server's end is.
            assert eventually(lambda: not alive(at.child))
            assert alive(at.entry.pid)
            at.server.kill()
        assert eventually(at.is_over)
        if victim in ("engine", "guard"):
            assert at.hears(EngineState.STOPPED)
            assert alive(at.server.pid)
            assert at.ledger.entries() == []


@pytest.mark.parametrize("state", OPTIONS)
def test_what_outlives_server_and_guard_is_ended_by_the_next_server(
    tmp_path: Path, state: EngineState
) -> None:
    with scene(tmp_path, state) as at:
        kill(at.victims(("server", "guard")))
        assert eventually(lambda: not alive(at.entry.pid))
        assert alive(at.child)
        assert at.ledger.end_survivors(timeout=0.1) == 1
        assert at.is_over()


def test_a_server_that_ends_by_itself_leaves_nothing(tmp_path: Path) -> None:
    with scene(tmp_path, READY) as at:
        at.server.communicate(timeout=HANG_SECONDS)
        assert at.is_over()
        assert at.server.returncode == 0
