"""Who asked a named reverse proxy, and how; what anybody else forwards is not believed.

A proxy tells in `X-Forwarded-For`, `-Proto` and `-Host`, or in `Forwarded` (RFC 7239), whom it
speaks for. Anybody can send these headers, so they count only from the addresses that
CLARACORE_TRUSTED_PROXIES names, and of a chain only as far back as named proxies reach.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from proxy_app.access_errors import TwoStories
from proxy_app.errors import GatewayError
from proxy_app.forward import answer_refusal
from proxy_app.incoming import ClientLink, Receive, Scope, Send, Take, take_nothing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED: tuple[bytes, ...] = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_QUOTED = r'"(?:[^"\\]|\\.)*"?'
# Each character fits one way only: whoever writes thousands of commas or quotes holds up nothing.
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss")}
"""What a proxy says, as ASGI calls it for a request and for a WebSocket."""


class Hop(NamedTuple):
    """What a proxy says of whoever asked it; empty where it says nothing."""

    address: str
    scheme: str = ""
    host: str = ""


class TrustedProxies:
    """An ASGI app around all others: lets them see the client instead of the named proxy."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        networks: Sequence[Network],
    ) -> None:
        self._app = app
        self._networks = networks
        self._take: Take = getattr(app, "take", take_nothing)

    def take(self, scope: Scope, link: ClientLink) -> bool:
        """Whether a request, as the proxy saw it, was taken by what is behind this."""
        peer = scope.get("client")
        if peer and self._is_named(peer[0]):
            try:
                scope = self._as_the_proxy_saw_it(scope)
            except GatewayError:
                return False
        return self._take(scope, link)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer and self._is_named(peer[0]):
            try:
                scope = self._as_the_proxy_saw_it(scope)
            except GatewayError as error:
                await answer_refusal(scope, receive, send, error)
                return
        await self._app(scope, receive, send)

    def _is_named(self, address: str) -> bool:
        try:
            number = ipaddress.ip_address(address)
        except ValueError:
            return False
        number = getattr(number, "ipv4_mapped", None) or number
        return any(number in network for network in self._networks)

    def _as_the_proxy_saw_it(self, scope: Scope) -> Scope:
        """The scope with the client's address, scheme and host. Raises TwoStories."""
        hops = hops_of(scope["headers"])
        if not hops:
            return scope
        # The nearest proxy wrote the last one; who is not named may have written anything before.
        client = next((hop for hop in reversed(hops) if not self._is_named(hop.address)), hops[0])
        seen = {**scope, "client": (client.address, 0)}
        if client.scheme in _SCHEMES:
            seen["scheme"] = _SCHEMES[client.scheme][scope["type"] == "websocket"]
        if client.host:
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            seen["headers"] = [(b"host", client.host.encode("latin-1")), *others]
        return seen


def hops_of(headers: Sequence[tuple[bytes, bytes]]) -> list[Hop]:
    """What proxies said, the one nearest to the client first.

    Raises TwoStories when both kinds of header are there and disagree: then the proxy passed on
    one of them as its client wrote it.
    """
    usual = _usual_hops(*(_joined(headers, name) for name in _FORWARDED))
    standard = _standard_hops(_joined(headers, b"forwarded"))
    if usual and standard and [hop.address for hop in usual] != [hop.address for hop in standard]:
        raise TwoStories
    return usual or standard


def _joined(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in headers if name == wanted)


def _usual_hops(addresses: str, schemes: str, hosts: str) -> list[Hop]:
    hops = [_address(part) for part in _parts(addresses)]
    told = _parts(schemes.lower()), _parts(hosts)
    return [
        Hop(address, *(_nth_last(parts, from_end) for parts in told))
        for address, from_end in zip(hops, range(len(hops), 0, -1), strict=True)
    ]


def _parts(texts: str) -> list[str]:
    return [part.strip() for part in texts.split(",") if part.strip()]


def _nth_last(parts: list[str], from_end: int) -> str:
    """Of a list that may be shorter, as most proxies write one value: the nearest to it."""
    return parts[max(0, len(parts) - from_end)] if parts else ""


def _standard_hops(text: str) -> list[Hop]:
    hops = []
    for element in _ELEMENT.findall(text):
        pairs = (pair.partition("=") for pair in _PAIR.findall(element))
        told = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        hops.append(
            Hop(_address(told.get("for", "")), told.get("proto", "").lower(), told.get("host", ""))
        )
    return hops


def _address(text: str) -> str:
    """`[::1]:80` -> `::1`, `10.0.0.1:80` -> `10.0.0.1`; what is no address stays, and is nobody."""
    text = text.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
