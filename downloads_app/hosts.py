"""From which hosts files may come, and what is told them.

The name of every address that is asked is looked up here, once, and each address it gives is
judged before a connection is made: a public name that leads into the local network is refused, at
the start and after every redirect. Only whom the settings name may be private.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from django.conf import settings
from requests.adapters import HTTPAdapter

from downloads_app.halt import Halt
from downloads_app.models import DownloadSettings
from downloads_app.trouble import Kind, Trouble

HUB_HOSTS = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co", "*.xethub.hf.co")
"""Hugging Face, and the stores it redirects to."""

POOL = 16

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL: Final = tuple(map(ipaddress.ip_network, ("fec0::/10", "64:ff9b:1::/48", "192.0.0.0/24")))
"""What Python takes for addresses of the internet."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom may be asked. `allowed` holds names, `*.` before them for all below, and addresses."""

    allowed: tuple[str, ...] = HUB_HOSTS
    private: tuple[str, ...] = ()
    """Names and addresses of `allowed` that may lie in a private network."""

    def check(self, url: str) -> None:
        """Raises Trouble when the address must not be asked."""
        try:
            parts = urlsplit(url)
            host, _ = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise Trouble(Kind.ADDRESS, "The address is not a web address. Check it.") from None
        if parts.scheme not in ("http", "https") or not host:
            raise Trouble(Kind.ADDRESS, "The address is not a web address. Check it.")
        if parts.username or parts.password:
            text = "The address holds a name or password. Leave them out; save a token instead."
            raise Trouble(Kind.ADDRESS, text)
        if not _matches(host, self.allowed):
            text = (
                f"{host} is not among the hosts that files may come from. Add it to the hosts in "
                "the download settings if you trust it."
            )
            raise Trouble(Kind.HOST, text)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to. Raises Trouble, OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not _matches(host.lower(), self.private):
            for number in numbers:
                if not _is_public(number):
                    text = (
                        f"{host} leads to {number}, which is not an address of the internet. Name "
                        "the host in CLARACORE_PRIVATE_HOSTS if that is meant to be."
                    )
                    raise Trouble(Kind.HOST, text)
        return numbers


def rules() -> Rules:
    """What the settings allow."""
    hub = urlsplit(settings.CLARACORE_HF_ENDPOINT).hostname or ""
    private = tuple(settings.CLARACORE_PRIVATE_HOSTS)
    saved = DownloadSettings.current().hosts.lower().split()
    own = tuple(host.strip("[]") for host in (*settings.CLARACORE_DOWNLOAD_HOSTS, *private))
    return Rules((*HUB_HOSTS, hub, *own, *saved), tuple(host.strip("[]") for host in private))


def session(allowed: Rules, halt: Halt | None = None) -> requests.Session:
    """A session that connects only where `allowed` lets it, and whose waits end with `halt`.

    It follows no redirect: who does looks at each address first.
    It asks one thing after the other: `halt` knows its newest connection only.
    """
    made = _Session()
    made.mount("http://", _Adapter(allowed, halt))
    made.mount("https://", _Adapter(allowed, halt))
    # No .netrc: what is sent along as a password is decided here alone.
    made.auth = _no_credentials
    return made


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None. With one, it reads all of a redirect's body, also when told not to follow."""
        return None


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Adapter(HTTPAdapter):
    def __init__(self, allowed: Rules, halt: Halt | None) -> None:
        self._allowed = allowed
        self._halt = halt
        super().__init__(pool_connections=POOL, pool_maxsize=POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        http, https = _pools(self._allowed, self._entered)
        self.poolmanager.pool_classes_by_scheme = {"http": http, "https": https}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self._allowed.check(request.url or "")
        return super().send(request, *args, **kwargs)

    def close(self) -> None:
        super().close()
        if self._halt is not None:
            self._halt.leave(self)

    def _entered(self, line: socket.socket) -> None:
        if self._halt is not None:
            self._halt.enter(self, line)


def _pools(allowed: Rules, connected: Callable[[socket.socket], None]) -> tuple[type, type]:
    class Plain(_Judged, urllib3.connection.HTTPConnection):
        rules = allowed
        tell = staticmethod(connected)

    class Encrypted(_Judged, urllib3.connection.HTTPSConnection):
        rules = allowed
        tell = staticmethod(connected)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return PlainPool, EncryptedPool


class _Judged:
    """Connects to the addresses that the rules let through, and to no others."""

    rules: Rules
    tell: Callable[[socket.socket], None]
    """Called with every connection that is made."""
    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            numbers = self.rules.addresses(name, self.port)
        except OSError as error:
            raise urllib3.exceptions.NameResolutionError(
                name,
                self,  # type: ignore[arg-type]
                error,  # type: ignore[arg-type]
            ) from error
        try:
            line = self._first_of(numbers)
        finally:
            self._dns_host = name
        try:
            self.tell(line)
        except BaseException:
            line.close()
            raise
        return line

    def _first_of(self, numbers: Iterable[str]) -> socket.socket:
        last: Exception | None = None
        for number in numbers:
            self._dns_host = number
            try:
                return super()._new_conn()  # type: ignore[misc,no-any-return]
            except urllib3.exceptions.HTTPError as error:
                last = error
        assert last is not None
        raise last


def _matches(host: str, patterns: Iterable[str]) -> bool:
    for pattern in patterns:
        if pattern.startswith("*."):
            if host.endswith(pattern[1:]):
                return True
        elif host == pattern:
            return True
    return False


def _is_public(number: str) -> bool:
    address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = _inner(address) or address
    if address.is_multicast or any(address in network for network in _LOCAL):
        return False
    return address.is_global


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Where a translator on the way would lead, of an address that holds one of IPv4."""
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
