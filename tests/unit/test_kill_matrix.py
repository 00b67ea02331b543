from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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

    def __init__(self, folder: Path, state: EngineState, wait: float) -> None:
        self.ledger = Ledger(folder)
        self._folder = folder
        self._log = folder / "engine.log"
        self._command = [str(wait), *fake_engine("--fork-child", *OPTIONS[state])]
        self.server = self._serve(state)
        assert self.hears(state)
        assert eventually(lambda: child_in(self._log) and self.ledger.entries())
        (self.entry,) = self.ledger.entries()
        child = child_in(self._log)
        assert child is not None
        self.child = child

    def _serve(self, state: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.engine_host", str(self._folder), state, *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def next_server(self) -> tuple[int, int]:
        """Start another server; how many engines it adopted, and how many it ended."""
        self.server.communicate(timeout=HANG_SECONDS)
        self.server = self._serve("adopting")
        assert self.server.stdout is not None
        while (line := self.server.stdout.readline().split()) and len(line) != 2:
            pass
        adopted, ended = line
        return int(adopted), int(ended)

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
def scene(folder: Path, state: EngineState, wait: float = 0) -> Iterator[Scene]:
    scene = Scene(folder, state, wait)
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


# ---- With a next server to adopt it ------------------------------------------------------------


def test_a_ready_engine_is_adopted_after_its_server_was_killed(tmp_path: Path) -> None:
    """An engine that nobody owns keeps its memory for hours: ollama#5642, ollama#9496,
    llama-swap#100, llama-swap#138, llama-swap#159, LocalAI#7958, hermes-agent#110561."""
    with scene(tmp_path, READY, wait=HANG_SECONDS) as at:
        assert eventually(lambda: at.ledger.entries()[0].ready)
        kill(at.victims(("server",)))
        assert at.next_server() == (1, 0)
        assert alive(at.entry.pid) and alive(at.child)
        at.server.communicate(timeout=HANG_SECONDS)
        assert at.is_over()
    assert at.ledger.entries() == []


@pytest.mark.parametrize("victim", ["engine", "guard", "server"])
def test_an_adopted_engine_is_as_safe_as_one_that_was_started(tmp_path: Path, victim: str) -> None:
    with scene(tmp_path, READY, wait=HANG_SECONDS) as at:
        assert eventually(lambda: at.ledger.entries()[0].ready)
        kill(at.victims(("server",)))
        assert at.next_server() == (1, 0)
        kill(at.victims((victim,)))
        if victim == "server":
            assert at.next_server() == (1, 0)
            assert alive(at.entry.pid)
            at.server.communicate(timeout=HANG_SECONDS)
        else:
            assert at.hears(EngineState.STOPPED)
        assert eventually(at.is_over)
        assert at.ledger.entries() == []


@pytest.mark.parametrize("state", [STARTING, STOPPING])
def test_an_engine_that_is_not_ready_ends_with_its_server(
    tmp_path: Path, state: EngineState
) -> None:
    with scene(tmp_path, state, wait=HANG_SECONDS) as at:
        kill(at.victims(("server",)))
        adopted, _ = at.next_server()
        assert adopted == 0
        assert eventually(at.is_over)


@pytest.mark.parametrize("also", ["engine", "guard", "child"])
def test_what_is_killed_together_with_the_server_is_not_adopted_and_nothing_is_left(
    tmp_path: Path, also: str
) -> None:
    with scene(tmp_path, READY, wait=HANG_SECONDS) as at:
        assert eventually(lambda: at.ledger.entries()[0].ready)
        kill(at.victims(("server", also)))
        adopted, _ = at.next_server()
        assert adopted == (1 if also == "child" else 0)
        if also == "child":
            at.server.communicate(timeout=HANG_SECONDS)
        assert eventually(at.is_over)
        assert at.ledger.entries() == []


def test_a_ready_engine_that_no_server_comes_for_ends_by_itself(tmp_path: Path) -> None:
    with scene(tmp_path, READY, wait=0.5) as at:
        assert eventually(lambda: at.ledger.entries()[0].ready)
        kill(at.victims(("server",)))
        assert eventually(at.is_over)
        assert at.next_server() == (0, 0)
        assert at.ledger.entries() == []


def test_the_next_server_leaves_a_stranger_alone_that_has_the_engines_number(
    tmp_path: Path,
) -> None:
    with scene(tmp_path, READY, wait=HANG_SECONDS) as at:
        kill(at.victims(("server", "guard", "engine", "child")))
        stranger = subprocess.Popen(["sleep", "60"])
        try:
            at.ledger.record(replace(at.entry, pid=stranger.pid, guard_pid=stranger.pid))
            assert at.next_server() == (0, 0)
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()
