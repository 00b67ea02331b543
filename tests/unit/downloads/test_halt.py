"""A stop acts at once, whatever a download is waiting for."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from downloads_app import hosts
from downloads_app.halt import Halt, Stopped
from downloads_app.transfer import Order, Transfer
from tests.hub import Asked, Fault, Hub
from tests.server import wait_until

LOOPBACK = hosts.Rules(allowed=("127.0.0.1",), private=("127.0.0.1",))
LIMIT = 15.0
"""Seconds; a silent server would hold a download twice as long."""


@pytest.mark.parametrize(
    "fault",
    [
        Fault("silent", -1, at="hub", probe=True),
        Fault("silent", -1, probe=True),
        Fault("silent", -1),
        Fault("stall", -1, after=0),
        Fault("stall", -1, after=100_000),
        Fault("drip", -1, after=0, probe=True),
        Fault("drip", -1, after=100_000, probe=True),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.at}-{fault.after}-{fault.probe}",
)
def test_a_server_that_says_nothing_cannot_hold_a_stopped_download(
    hub: Hub, tmp_path: Path, fault: Fault
) -> None:
    hub.add("owner/repo", {"model.bin": bytes(1_000_000)})
    hub.faults.append(fault)
    waits = threading.Event()
    choose = hub.choose

    def told(asked: Asked) -> Fault | None:
        chosen = choose(asked)
        # A question for the first byte is answered by one that drips nothing at all.
        if chosen is not None and not (fault.kind == "drip" and fault.after and asked.is_probe):
            waits.set()
        return chosen

    hub.choose = told
    halt = Halt()
    order = Order(hub.file_url("owner/repo", "model.bin"), tmp_path / "model.bin", "k")
    ended: list[BaseException] = []

    def fetch() -> None:
        try:
            Transfer(order, stopped=halt, session=lambda: hosts.session(LOOPBACK, halt)).run()
        except Stopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(waits.is_set, "a request that gets no answer", lambda: hub.asked)
    halt.set()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert ended


def test_a_connection_made_after_the_stop_is_not_used() -> None:
    halt = Halt()
    halt.set()
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Stopped):
        halt.enter(object(), ours)


def test_only_the_newest_connection_of_each_is_kept() -> None:
    halt, owner = Halt(), object()
    first, other = socket.socketpair()
    second, another = socket.socketpair()
    with first, other, second, another:
        halt.enter(owner, first)
        halt.enter(owner, second)
        first.close()
        assert other.recv(1) == b""  # No copy of it is left open.
        halt.set()
        assert another.recv(1) == b""
        halt.leave(owner)
