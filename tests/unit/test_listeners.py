from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy_app.listeners import Listener, listener_on

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LISTENS = """
import socket, sys, os
host, port, fork = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if fork == "yes" and os.fork():
    os.wait()
listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((host, port))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def listening(
    host: str = "127.0.0.1", port: int = 0, fork: str = "no"
) -> Iterator[tuple[int, int]]:
    """The pid of a session's leader and the port on which it, or its child, listens."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LISTENS, host, str(port), fork],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_it_knows_the_listener_of_an_engine(host: str) -> None:
    with listening(host) as (pid, port):
        assert listener_on(port, pid) is Listener.OURS


def test_it_knows_the_listener_of_an_engines_child() -> None:
    with listening(fork="yes") as (pid, port):
        assert listener_on(port, pid) is Listener.OURS


def test_who_listened_before_the_engine_came_is_a_stranger() -> None:
    with listening() as (_, port), listening() as (pid, _):
        assert listener_on(port, pid) is Listener.STRANGER


def test_a_port_shared_with_a_stranger_is_the_strangers() -> None:
    with listening() as (_, port), listening(port=port) as (pid, shared):
        assert shared == port
        assert listener_on(port, pid) is Listener.STRANGER


def test_it_cannot_tell_about_a_listener_that_came_after_the_engine() -> None:
    with listening() as (pid, _), listening() as (_, port):
        assert listener_on(port, pid) is Listener.UNKNOWN


def test_it_cannot_tell_when_nobody_here_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert listener_on(unused.getsockname()[1], os.getpid()) is Listener.UNKNOWN
