from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from proxy_app import kin
from proxy_app.guard_program import guard_command
from tests.processes import HANG_SECONDS, alive, eventually, session_members

PATH = {"PATH": os.defpath}
PYTHON = (sys.executable, "-I", "-S", "-c")


class RawGuard:
    """Speaks to a real guard over its control channel, as the server does."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(HANG_SECONDS)
        with theirs:
            self.process = subprocess.Popen(
                guard_command(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={},
            )
        self._reader = self.socket.makefile("r")

    def tell(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._reader.readline())
        return answer

    def order(self, *argv: str, **changes: Any) -> None:
        order = {"argv": argv, "env": PATH, "cwd": None, "log": str(self.log), "log_bytes": 1 << 20}
        self.tell({**order, **changes})

    def run(self, *argv: str, **changes: Any) -> int:
        """Order a program and give its pid."""
        self.order(*argv, **changes)
        pid: int = self.hear()["started"]["pid"]
        return pid

    def exit(self) -> tuple[int | None, int | None]:
        told = self.hear()["exited"]
        return told["code"], told["signal"]

    def stop(self, grace: float) -> None:
        self.tell({"stop": {"grace": grace}})

    def hang_up(self) -> None:
        self._reader.close()
        self.socket.close()

    def tells_the_end(self) -> bool:
        """Whether it says next that nothing is alive any more, and goes."""
        return self.hear() == {"gone": True} and self.has_closed()

    def has_closed(self) -> bool:
        return self._reader.readline() == ""

    def output(self) -> str:
        return self.log.read_text()

    def said(self, text: str) -> bool:
        return eventually(lambda: self.log.exists() and text in self.log.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.process.wait(HANG_SECONDS)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[RawGuard]:
    with RawGuard(tmp_path / "engine.log") as guard:
        yield guard


def test_it_tells_pid_and_start_time_of_what_it_started(guard: RawGuard) -> None:
    guard.order("sleep", "60")
    told = guard.hear()["started"]
    assert told["start_time"] == kin.start_time(told["pid"])
    assert os.getsid(told["pid"]) == told["pid"]


def test_it_leaves_quietly_when_the_server_goes_before_its_first_message(guard: RawGuard) -> None:
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0


def test_it_tells_the_exit_code_and_the_newest_output(guard: RawGuard) -> None:
    guard.run("sh", "-c", 'echo out; echo \\"quoted\\" é >&2; exit 7')
    told = guard.hear()["exited"]
    assert (told["code"], told["signal"]) == (7, None)
    assert told["tail"] == 'out\n"quoted" é\n' == guard.output()
    assert guard.tells_the_end()
    assert guard.process.wait(HANG_SECONDS) == 0


def test_it_tells_the_signal_that_killed_the_engine(guard: RawGuard) -> None:
    os.kill(guard.run("sleep", "60"), signal.SIGKILL)
    assert guard.exit() == (None, signal.SIGKILL)


def test_the_tail_is_the_end_of_a_long_output(guard: RawGuard) -> None:
    guard.run("sh", "-c", "seq 1 20000; echo the end")
    tail = guard.hear()["exited"]["tail"]
    assert tail.endswith("20000\nthe end\n")
    assert len(tail) <= 8 * 1024


def test_it_tells_why_a_program_was_not_started(guard: RawGuard) -> None:
    guard.order("/no/such/program")
    assert guard.hear() == {"failed": {"errno": errno.ENOENT, "step": "exec"}}
    assert guard.has_closed()


@pytest.mark.parametrize(
    ("mode", "content", "number"),
    [(0o644, "#!/bin/sh\n", errno.EACCES), (0o755, "no program", errno.ENOEXEC)],
)
def test_it_tells_when_a_file_cannot_be_executed(
    guard: RawGuard, tmp_path: Path, mode: int, content: str, number: int
) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(mode)
    guard.order(str(program))
    assert guard.hear() == {"failed": {"errno": number, "step": "exec"}}


def test_it_tells_when_the_working_directory_is_missing(guard: RawGuard) -> None:
    guard.order("true", cwd="/no/such/folder")
    assert guard.hear() == {"failed": {"errno": errno.ENOENT, "step": "cwd"}}


def test_it_tells_when_the_log_cannot_be_written(guard: RawGuard, tmp_path: Path) -> None:
    guard.order("true", log=str(tmp_path / "missing" / "engine.log"))
    assert guard.hear() == {"failed": {"errno": errno.ENOENT, "step": "log"}}


def test_the_engine_gets_its_environment_and_directory_and_no_input(
    guard: RawGuard, tmp_path: Path
) -> None:
    guard.run("sh", "-c", "env | sort; pwd; cat", env={**PATH, "A": "b c"}, cwd=str(tmp_path))
    assert guard.exit() == (0, None)
    lines = guard.output().splitlines()
    assert "A=b c" in lines
    assert lines[-1] == str(tmp_path)


def test_the_engine_inherits_neither_files_nor_deaf_ears(guard: RawGuard) -> None:
    report = (
        "import os\n"
        "print(sorted(int(name) for name in os.listdir('/proc/self/fd'))[:-1])\n"
        "status = open('/proc/self/status').read()\n"
        "print([line.split()[1] for line in status.splitlines() if line.startswith('SigIgn')])\n"
    )
    guard.run(*PYTHON, report)
    assert guard.exit() == (0, None)
    files, ignored = guard.output().splitlines()
    assert files == "[0, 1, 2]"
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25). Whoever starts the tests may ignore
    # others that no guard touches: make the C library's 32 and 33, a shell SIGQUIT.
    deaf = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ]
    ours = {n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN}
    untouched = sum(1 << (number - 1) for number in (ours | {32, 33}) - set(deaf))
    assert int(ignored[2:-2], 16) & ~untouched == (1 << 12 | 1 << 24)


def test_it_rotates_the_log_and_keeps_one_older_file(guard: RawGuard) -> None:
    guard.run("sh", "-c", "seq 1 30000; sleep 0.2; seq 30001 60000", log_bytes=150_000)
    assert guard.exit() == (0, None)
    older = guard.log.with_name(guard.log.name + ".1")
    assert (older.read_text() + guard.output()).endswith("59999\n60000\n")
    assert guard.log.stat().st_size <= 150_000
    assert older.stat().st_size <= 150_000
    assert guard.log.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in guard.log.parent.iterdir()} == {guard.log.name, older.name}


def test_it_goes_on_logging_when_somebody_removed_the_file(guard: RawGuard) -> None:
    guard.log.write_text("x" * 1000)
    script = "echo one; while [ -e $0 ]; do sleep 0.02; done; echo two"
    guard.run("sh", "-c", script, str(guard.log), log_bytes=1004)
    assert guard.said("one")
    guard.log.unlink()
    assert guard.exit() == (0, None)
    assert guard.output() == "two\n"


def test_a_full_disk_does_not_take_the_engine_down(guard: RawGuard) -> None:
    guard.run("sh", "-c", "seq 1 100000; exit 3", log="/dev/full")
    assert guard.exit() == (3, None)


def test_it_stops_the_engine_with_sigterm(guard: RawGuard) -> None:
    guard.run("sleep", "60")
    guard.stop(HANG_SECONDS)
    assert guard.exit() == (None, signal.SIGTERM)
    assert guard.tells_the_end()


def test_it_sends_a_second_sigterm_to_an_engine_that_is_still_busy(guard: RawGuard) -> None:
    script = (
        "n=0; trap 'n=$((n+1)); [ $n = 2 ] && exit 1' TERM; echo up; while :; do sleep 0.01; done"
    )
    guard.run("bash", "-c", script)
    assert guard.said("up")
    guard.stop(3.0)
    assert guard.exit() == (1, None)


def test_it_kills_an_engine_that_ignores_sigterm(guard: RawGuard) -> None:
    pid = guard.run("sh", "-c", "trap '' TERM; echo up; sleep 60; sleep 60")
    assert guard.said("up")
    guard.stop(0.2)
    assert guard.exit() == (None, signal.SIGKILL)
    assert guard.tells_the_end()
    assert session_members(pid) == []


def test_a_stop_without_grace_kills_at_once(guard: RawGuard) -> None:
    guard.run("sleep", "60")
    guard.stop(0)
    assert guard.exit() == (None, signal.SIGKILL)


def test_the_sooner_of_two_stops_counts(guard: RawGuard) -> None:
    guard.run("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
    assert guard.said("up")
    orders = [json.dumps({"stop": {"grace": grace}}) for grace in (600.0, 0.0, 600.0)]
    # In one piece: the guard may be gone right after the second.
    guard.socket.sendall("".join(f"{order}\n" for order in orders).encode())
    assert guard.exit() == (None, signal.SIGKILL)


def test_a_stop_that_comes_with_the_order_is_obeyed(guard: RawGuard) -> None:
    order = {"argv": ["sleep", "60"], "env": PATH, "cwd": None, "log": str(guard.log)}
    both = (json.dumps({**order, "log_bytes": 1000}), json.dumps({"stop": {"grace": 5}}))
    guard.socket.sendall(("\n".join(both) + "\n").encode())
    assert "started" in guard.hear()
    assert guard.exit() == (None, signal.SIGTERM)


FORKS = "trap '' TERM; sleep 60 & echo child $!; "


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$", "wait"])
def test_it_ends_a_child_that_the_engine_left_behind(guard: RawGuard, ending: str) -> None:
    pid = guard.run("sh", "-c", FORKS + ending)
    assert guard.said("child")
    child = int(guard.output().split()[1])
    if ending == "wait":
        os.kill(pid, signal.SIGKILL)
    guard.exit()
    assert guard.tells_the_end()
    assert not alive(child)
    assert session_members(pid) == []


def test_it_ends_a_child_that_left_for_a_session_of_its_own(guard: RawGuard) -> None:
    daemon = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        print('daemon', os.getpid(), flush=True)\n"
        "        time.sleep(60)\n"
        "    os._exit(0)\n"
        "time.sleep(60)\n"
    )
    guard.run(*PYTHON, daemon)
    assert guard.said("daemon")
    guard.stop(HANG_SECONDS)
    guard.exit()
    assert guard.tells_the_end()
    assert not alive(int(guard.output().split()[1]))


def test_it_stops_the_engine_by_itself_when_the_server_is_gone(guard: RawGuard) -> None:
    pid = guard.run("sh", "-c", FORKS + "wait", grace=0.2)
    assert guard.said("child")
    guard.hang_up()
    assert guard.process.wait(HANG_SECONDS) == 0
    assert session_members(pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_deaf_to_polite_signals(guard: RawGuard, number: signal.Signals) -> None:
    pid = guard.run("sleep", "60")
    guard.process.send_signal(number)
    guard.stop(HANG_SECONDS)
    assert guard.exit() == (None, signal.SIGTERM)
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of it")
def test_the_engine_dies_with_a_guard_that_is_killed(guard: RawGuard) -> None:
    pid = guard.run("sleep", "60")
    guard.process.kill()
    assert eventually(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_takes_less_than_ten_megabytes(guard: RawGuard) -> None:
    guard.run("sh", "-c", "seq 1 100000; echo done; sleep 60")
    assert guard.said("done")
    status = Path(f"/proc/{guard.process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    assert int(resident.split()[1]) < 10 * 1024
