from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from proxy_app.ports import GIVE_UP_AFTER, HIGHEST, REST, NoFreePort, PortPool

START = 21_000


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


def test_it_hands_out_different_ports_from_the_start_upward() -> None:
    ports = PortPool(START)
    first, second, third = (ports.acquire() for _ in range(3))
    assert START <= first < second < third


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_it_passes_over_a_port_somebody_listens_on(host: str) -> None:
    port = PortPool(START).acquire()
    with listen(host, port):
        assert PortPool(port).acquire() > port


def test_it_passes_over_a_port_that_is_bound_but_does_not_listen_yet() -> None:
    port = PortPool(START).acquire()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", port))
        assert PortPool(port).acquire() > port


def test_it_passes_over_a_port_with_a_lingering_socket() -> None:
    port = PortPool(START).acquire()
    with listen("127.0.0.1", port) as listener, socket.socket() as client:
        client.connect(("127.0.0.1", port))
        served, _ = listener.accept()
        served.close()  # The side that closes first lingers in TIME_WAIT.
        assert client.recv(1) == b""
    assert PortPool(port).acquire() > port


def test_it_does_not_hand_out_a_port_again_at_once() -> None:
    ports = PortPool(START)
    seen = []
    for _ in range(REST + 1):
        seen.append(ports.acquire())
        ports.release(seen[-1])
    assert len(set(seen)) == REST + 1


def test_it_comes_back_to_a_rested_port() -> None:
    ports = PortPool(START)
    first = ports.acquire()
    ports.release(first)
    for _ in range(REST):
        ports.release(ports.acquire())
    assert ports.acquire() == first


def test_it_never_hands_out_a_port_that_is_still_held() -> None:
    ports = PortPool(START)
    held = ports.acquire()
    for _ in range(2 * REST):
        port = ports.acquire()
        assert port != held
        ports.release(port)


def test_another_start_counts_from_the_next_port_on() -> None:
    ports = PortPool(START)
    ports.acquire()
    ports.start_port = START + 5000
    assert ports.acquire() >= START + 5000


def test_it_says_so_when_many_ports_in_a_row_are_taken() -> None:
    start, taken = START + 2000, []
    try:
        for port in range(start, start + GIVE_UP_AFTER):
            taken.append(socket.socket())
            with suppress(OSError):  # Then it is taken already.
                taken[-1].bind(("127.0.0.1", port))
        with pytest.raises(NoFreePort, match=f"200 ports from {start} upward are taken"):
            PortPool(start).acquire()
    finally:
        for blocker in taken:
            blocker.close()


def test_it_says_so_when_there_are_no_higher_ports() -> None:
    ports = PortPool(HIGHEST)
    with socket.socket() as blocker:
        blocker.bind(("127.0.0.1", HIGHEST))
        with pytest.raises(NoFreePort, match=f"from {HIGHEST} to {HIGHEST}"):
            ports.acquire()


def test_ports_may_be_looked_for_from_elsewhere() -> None:
    ports = PortPool(START)
    first = ports.acquire(START + 100)
    assert START + 100 <= first < ports.acquire(START + 100)
    assert START <= ports.acquire() < START + 100
