from __future__ import annotations

import pytest

from proxy_app.http_protocol import _without_other_protocols


@pytest.mark.parametrize("offer", [b"Upgrade: h2c", b"upgrade:h2c", b"UPGRADE: TLS/1.2, h2c"])
def test_an_offer_of_another_protocol_is_taken_out(offer: bytes) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\nA: b\r\n\r\nbody"
    assert _without_other_protocols(request) == (b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nbody")


def test_web_sockets_and_bodies_are_left_alone() -> None:
    request = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\r\nUpgrade: h2c\r\n"
    assert _without_other_protocols(request) == request
