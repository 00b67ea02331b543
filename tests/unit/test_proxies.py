from __future__ import annotations

import ipaddress
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from claracore_site.secure_cookies import SecureCookies
from proxy_app.access_errors import TwoStories
from proxy_app.proxies import Hop, TrustedProxies, hops_of

NAMED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")]


async def seen(peer: str, kind: str = "http", **told: str) -> dict[str, Any]:
    """The scope as it reaches the server, or what was answered instead."""
    reached: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def send(message: Any) -> None:
        reached.append(message)

    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in told.items()]
    scope = {
        "type": kind,
        "scheme": "http",
        "client": (peer, 1234),
        "path": "/v1/models",
        "method": "GET",
        "headers": [(b"host", b"internal"), *headers],
    }
    await TrustedProxies(app, NAMED)(scope, None, send)  # type: ignore[arg-type]
    return dict(reached[0])


FORWARDED = {
    "x_forwarded_for": "203.0.113.9",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "llm.example",
}


@pytest.mark.parametrize("peer", ["192.168.1.2", "127.0.0.1", "11.0.0.1", "::2", "not an address"])
async def test_strangers_forward_nothing(peer: str) -> None:
    """S13: the first implementation believes X-Forwarded-For from anyone."""
    scope = await seen(peer, **FORWARDED, forwarded="for=203.0.113.9;proto=https;host=llm.example")
    assert scope["client"] == (peer, 1234)
    assert scope["scheme"] == "http"
    assert dict(scope["headers"])[b"host"] == b"internal"


@pytest.mark.parametrize("peer", ["10.1.2.3", "::1", "::ffff:10.1.2.3"])
async def test_a_named_proxy_tells_who_asked_it(peer: str) -> None:
    scope = await seen(peer, **FORWARDED)
    assert scope["client"] == ("203.0.113.9", 0)
    assert scope["scheme"] == "https"
    assert dict(scope["headers"])[b"host"] == b"llm.example"
    standard = await seen(peer, forwarded='for=203.0.113.9;proto=HTTPS;host="llm.example"')
    assert (standard["client"], standard["scheme"]) == (scope["client"], "https")


async def test_a_web_socket_through_a_proxy_is_encrypted_too() -> None:
    assert (await seen("10.0.0.1", "websocket", **FORWARDED))["scheme"] == "wss"


async def test_what_a_client_wrote_before_the_proxy_is_not_believed() -> None:
    scope = await seen("10.0.0.1", x_forwarded_for="127.0.0.1, 203.0.113.9, 10.0.0.2")
    assert scope["client"][0] == "203.0.113.9"
    scope = await seen("10.0.0.1", forwarded="for=127.0.0.1, for=203.0.113.9;proto=https")
    assert scope["client"][0] == "203.0.113.9"


async def test_a_proxy_that_says_nothing_changes_nothing() -> None:
    scope = await seen("10.0.0.1", x_forwarded_proto="https")
    assert (scope["client"][0], scope["scheme"]) == ("10.0.0.1", "http")


async def test_two_stories_are_refused() -> None:
    answer = await seen("10.0.0.1", x_forwarded_for="203.0.113.9", forwarded="for=127.0.0.1")
    assert answer["status"] == 400


def test_hops_are_read_as_proxies_write_them() -> None:
    assert hops_of([(b"forwarded", b'For="[2001:db8::1]:4711";proto=http, for=unknown')]) == [
        Hop("2001:db8::1", "http"),
        Hop("unknown"),
    ]
    usual = [(b"x-forwarded-for", b"[2001:db8::1]:80"), (b"x-forwarded-for", b"10.0.0.1:1")]
    assert [hop.address for hop in hops_of(usual)] == ["2001:db8::1", "10.0.0.1"]
    assert hops_of([]) == []
    with pytest.raises(TwoStories):
        hops_of([*usual, (b"forwarded", b"for=1.2.3.4")])


def test_a_quoted_comma_parts_nothing() -> None:
    told = b'for="a,b;c";proto=https;host="x\\",y", for=1.2.3.4; by="unclosed'
    assert hops_of([(b"forwarded", told)]) == [
        Hop("a,b;c", "https", 'x\\",y'),
        Hop("1.2.3.4"),
    ]


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises TimeoutError when the block takes longer, a regular expression included."""

    def too_long(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "told",
    [
        {b"forwarded": b"," * 500_000},
        {b"forwarded": b"a" * 500_000},
        {b"forwarded": b'"' * 500_001},
        {b"x-forwarded-for": b"1," * 100_000, b"x-forwarded-proto": b"a," * 100_000},
    ],
)
def test_headers_made_to_take_long_are_read_at_once(told: dict[bytes, bytes]) -> None:
    """Read in steps that grow with the square, these would hold up everybody for minutes."""
    with at_most(60):
        hops_of(list(told.items()))


@pytest.mark.parametrize("secure", [True, False])
def test_cookies_are_marked_as_they_were_set(secure: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        response.set_cookie("sessionid", "x")
        return response

    response = SecureCookies(view)(RequestFactory().get("/", secure=secure))
    assert bool(response.cookies["sessionid"]["secure"]) is secure
