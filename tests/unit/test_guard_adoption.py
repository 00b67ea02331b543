"""A guard whose server is gone: keeps the engine for another, or ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import HANG_SECONDS, alive, eventually
from tests.unit.test_guard import PATH, RawGuard

TOKEN = "0123456789abcdef"


class NextServer:
    """Comes in by the guard's door."""

    def __init__(self, folder: Path, token: str = TOKEN) -> None:
        door = folder / f"{TOKEN}.sock"
        assert eventually(door.exists)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(HANG_SECONDS)
        assert eventually(lambda: self._came_in(door))
        self._reader = self.socket.makefile("r")
        self.tell({"adopt": {"token": token}})

    def _came_in(self, door: Path) -> bool:
        try:
            self.socket.connect(str(door))
        except ConnectionRefusedError:  # Bound, but not listening yet.
            return False
        return True

    def tell(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._reader.readline())
        return answer

    def leave(self) -> None:
        self._reader.close()
        self.socket.close()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[RawGuard]:
    guard = RawGuard(tmp_path / "engine.log")
    yield guard
    guard.hang_up()
    if alive(guard.process.pid):
        guard.process.kill()
    guard.process.wait(HANG_SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    return folder


def kept(
    guard: RawGuard, folder: Path, *argv: str, wait: float = HANG_SECONDS, **order: Any
) -> int:
    pid = guard.run(*argv, folder=str(folder), token=TOKEN, **order)
    guard.tell({"keep": {"wait": wait}})
    return pid


def test_another_server_takes_the_engine_over_and_stops_it(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60")
    guard.hang_up()
    server = NextServer(folder)
    assert server.hear()["started"]["pid"] == pid
    assert alive(pid)
    server.tell({"stop": {"grace": HANG_SECONDS}})
    assert server.hear()["exited"]["signal"] == signal.SIGTERM
    assert guard.process.wait(HANG_SECONDS) == 0
    assert list(folder.iterdir()) == []
    server.leave()


def test_its_door_is_the_owners_alone(guard: RawGuard, folder: Path) -> None:
    kept(guard, folder, "sleep", "60")
    guard.hang_up()
    door = folder / f"{TOKEN}.sock"
    assert eventually(door.exists)
    assert stat.S_IMODE(door.stat().st_mode) == 0o600


def test_the_engine_is_ended_when_nobody_comes_in_time(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60", wait=0.2)
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert not alive(pid)
    assert [path.name for path in folder.iterdir()] == [f"{TOKEN}.exit"]


def test_an_engine_that_is_not_to_be_kept_ends_at_once(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60", wait=0)
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert not alive(pid)


def test_an_engine_that_is_being_stopped_is_not_kept(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    assert guard.said("up")
    guard.stop(0.3)
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert not alive(pid)
    assert not (folder / f"{TOKEN}.sock").exists()


def test_it_serves_one_server_after_the_other(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60")
    guard.hang_up()
    for _ in range(3):
        server = NextServer(folder)
        assert server.hear()["started"]["pid"] == pid
        server.leave()
    assert alive(pid)


def test_whoever_does_not_know_the_token_is_not_listened_to(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60")
    guard.hang_up()
    stranger = NextServer(folder, token="guessed")
    stranger.leave()
    server = NextServer(folder)
    assert server.hear()["started"]["pid"] == pid
    server.leave()


def test_a_visitor_who_says_nothing_does_not_prolong_the_wait(
    guard: RawGuard, folder: Path
) -> None:
    kept(guard, folder, "sleep", "60", wait=0.5)
    guard.hang_up()
    visitor = NextServer(folder, token="none of its business")
    assert guard.process.wait(HANG_SECONDS) == 0
    visitor.leave()


def test_how_an_engine_ended_that_nobody_could_be_told_of_is_written_down(
    guard: RawGuard, folder: Path
) -> None:
    pid = kept(guard, folder, "sh", "-c", "echo last words; sleep 60")
    assert guard.said("last words")
    guard.hang_up()
    assert eventually((folder / f"{TOKEN}.sock").exists)
    os.kill(pid, signal.SIGKILL)
    assert guard.process.wait(HANG_SECONDS) == 0
    record = folder / f"{TOKEN}.exit"
    assert json.loads(record.read_text())["exited"]["signal"] == signal.SIGKILL
    assert record.stat().st_mode & 0o777 == 0o600


def test_a_folder_with_a_long_path_is_no_trouble(guard: RawGuard, folder: Path) -> None:
    deep = folder / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    pid = kept(guard, deep, "sleep", "60")
    guard.hang_up()
    assert eventually((deep / f"{TOKEN}.sock").exists)
    assert alive(pid)


def test_a_folder_that_is_gone_means_the_engines_end(guard: RawGuard, folder: Path) -> None:
    pid = kept(guard, folder, "sleep", "60")
    folder.rmdir()
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert not alive(pid)


# ---- Stop commands -----------------------------------------------------------------------------


def test_a_stop_command_is_executed_in_place_of_the_first_sigterm(
    guard: RawGuard, tmp_path: Path
) -> None:
    flag = tmp_path / "stop"
    script = f"trap 'echo terminated' TERM; until [ -e {flag} ]; do sleep 0.02; done; exit 5"
    stop = ["sh", "-c", f"echo stopping $1 by $NAME; touch {flag}", "sh", "${PID}"]
    pid = guard.run("sh", "-c", script, stop_argv=stop, env={**PATH, "NAME": "order"})
    guard.stop(HANG_SECONDS)
    assert guard.exit() == (5, None)
    assert guard.tells_the_end()
    assert guard.output() == f"stopping {pid} by order\n"


def test_a_stop_command_that_does_not_help_is_followed_by_signals(guard: RawGuard) -> None:
    guard.run("sleep", "60", stop_argv=["true"])
    guard.stop(0.4)
    assert guard.exit() == (None, signal.SIGTERM)


def test_a_stop_command_that_does_not_exist_is_written_in_the_log(guard: RawGuard) -> None:
    guard.run("sleep", "60", stop_argv=["/no/such/program"])
    guard.stop(0.4)
    assert guard.exit() == (None, signal.SIGTERM)
    assert "/no/such/program could not be executed: No such file" in guard.output()


def test_a_stop_command_that_hangs_is_ended_with_the_engine(guard: RawGuard) -> None:
    guard.run("sleep", "60", stop_argv=["sh", "-c", "echo hanging $$; exec sleep 60"])
    guard.stop(0.4)
    assert guard.exit() == (None, signal.SIGTERM)
    assert guard.tells_the_end()
    assert not alive(int(guard.output().split()[1]))


def test_an_engine_whose_server_is_gone_is_stopped_by_its_command(
    guard: RawGuard, folder: Path
) -> None:
    stop = ["sh", "-c", "echo stopped by command; kill -9 ${PID}"]
    kept(guard, folder, "sleep", "60", wait=0.1, stop_argv=stop, grace=HANG_SECONDS)
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert "stopped by command" in guard.output()


def test_a_kill_does_not_wait_for_a_stop_command(guard: RawGuard) -> None:
    guard.run("sleep", "60", stop_argv=["sh", "-c", "echo called"])
    guard.stop(0)
    assert guard.exit() == (None, signal.SIGKILL)
    assert guard.output() == ""
