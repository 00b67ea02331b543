"""The keeper with real processes in the place of servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import HANG_SECONDS, ROOT, alive, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are not given to it")

WRAPPER = """
import signal, subprocess, sys
from proxy_app import handover
from proxy_app.guarded_engine import Linux
Linux()
server = subprocess.Popen(["sh", "-c", sys.argv[2]], start_new_session=True)
signal.pthread_sigmask(signal.SIG_BLOCK, handover.PASSED_ON)
handover.become_keeper(int(sys.argv[1]), server.pid)
"""


class Kept:
    """A process that started a server and became its keeper."""

    def __init__(self, script: str) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WRAPPER, str(theirs.fileno()), script],
                pass_fds=(theirs.fileno(),),
                cwd=ROOT,
            )

    @property
    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    @property
    def server(self) -> int:
        (child,) = self.children
        return child

    def keeps(self) -> bool:
        return "keeper.py" in " ".join(psutil.Process(self.process.pid).cmdline())

    def ends(self) -> int:
        return self.process.wait(HANG_SECONDS)


@pytest.fixture
def started() -> Iterator[list[Kept]]:
    kept: list[Kept] = []
    yield kept
    for one in kept:
        one.channel.close()
        if one.process.poll() is None:
            for child in psutil.Process(one.process.pid).children():
                child.kill()
            one.process.kill()
            one.process.wait()


def kept(started: list[Kept], script: str) -> Kept:
    one = Kept(script)
    started.append(one)
    assert eventually(one.keeps)
    return one


def test_it_ends_with_the_code_of_its_server(started: list[Kept], tmp_path: Path) -> None:
    flag = tmp_path / "end"
    one = kept(started, f"until [ -e {flag} ]; do sleep 0.02; done; exit 7")
    flag.touch()
    assert one.ends() == 7


def test_it_ends_by_the_signal_that_killed_its_server(started: list[Kept]) -> None:
    one = kept(started, "exec sleep 60")
    os.kill(one.server, signal.SIGKILL)
    assert one.ends() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_passes_signals_on(started: list[Kept], tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'exit 5' {number.name[3:]}; touch {ready}; while :; do sleep 0.02; done"
    one = kept(started, script)
    assert eventually(ready.exists)
    one.process.send_signal(number)
    assert one.ends() == 5


def test_it_stays_for_the_server_that_follows(started: list[Kept], tmp_path: Path) -> None:
    """The next server is started by the one before it, whose end leaves it to the keeper."""
    pid, go = tmp_path / "pid", tmp_path / "go"
    one = kept(started, f"sleep 60 & echo $! > {pid}; until [ -e {go} ]; do sleep 0.02; done")
    assert eventually(lambda: pid.exists() and pid.read_text().strip())
    first, second = one.server, int(pid.read_text())
    one.channel.sendall(b"%d\n" % second)
    go.touch()
    assert eventually(lambda: not alive(first))
    assert eventually(lambda: second in one.children)
    assert one.process.poll() is None
    one.process.send_signal(signal.SIGTERM)
    assert one.ends() == -signal.SIGTERM


def test_it_takes_less_than_ten_megabytes(started: list[Kept]) -> None:
    one = kept(started, "exec sleep 60")
    assert psutil.Process(one.process.pid).memory_full_info().uss < 10_000_000


def test_it_leaves_when_no_server_holds_its_channel(started: list[Kept]) -> None:
    one = kept(started, "exec sleep 60")
    server = one.server
    one.channel.close()
    assert one.ends() == 0
    os.kill(server, signal.SIGKILL)
