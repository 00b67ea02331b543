"""Which names this server answers to, and which pages may drive it.

A web page on another site can make a browser send requests here, by a form, an image or a host
name that it points at this machine. So the `Host` must be one of ours, and what a browser says
about where a request comes from must be one of our own pages.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.request import split_domain_port

from proxy_app.errors import ForeignPage, GatewayError, UnknownHost
from proxy_app.forward import answer_refusal
from proxy_app.incoming import Message, Receive, Scope, Send

_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_FOREIGN_SITES = frozenset((b"cross-site", b"same-site"))
_PAGES = ("/ui", "/admin")
_METHODS = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REMEMBERED_HOSTS = 64


def without_port(host: str) -> str:
    """`localhost:5800` -> `localhost`, `[::1]:5800` -> `::1`; lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") > 1:
        return host
    return host.partition(":")[0]


def is_loopback_name(host: str) -> bool:
    """True for `localhost`, names below it, and loopback addresses, with or without a port."""
    name = without_port(host).rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class HostGuard:
    """An ASGI app around the whole server that turns strangers' requests away."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        allowed: Iterable[str],
        origins: Callable[[], Collection[bytes]] = tuple,
    ) -> None:
        """`allowed` are names besides the loopback ones, as in Django's ALLOWED_HOSTS.

        `origins` are the other sites whose pages may use the API, never our own pages.
        """
        self._origins = origins
        self._app = app
        self._allowed = {without_port(name) for name in allowed}
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            friend = self._check(scope)
        except GatewayError as error:
            await answer_refusal(scope, receive, send, error)
            return
        if kind == "http" and scope["method"] == "OPTIONS":
            await _answer_options(scope, send, friend)
            return
        if friend and kind == "http":
            send = partial(_send_readable, send, friend)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> bytes:
        """The origin of another site's page that may use the API; empty for everybody else."""
        host, origin, site, mode = b"", b"", b"", b""
        for name, value in scope["headers"]:
            if name == b"host":
                # Two of them make none that is well-formed.
                host = host + b"," + value if host else value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        if host not in self._known:
            self._check_host(host)
        if origin and self._is_friend(origin, scope["path"]):
            return origin
        if site in _FOREIGN_SITES and not _opens_a_page(scope, mode):
            raise ForeignPage
        reads = scope["type"] == "http" and scope["method"] in _READS
        if origin and not reads and not _same_origin(origin, host):
            raise ForeignPage
        return b""

    def _is_friend(self, origin: bytes, path: str) -> bool:
        return origin.lower() in self._origins() and not path.startswith(_PAGES)

    def _check_host(self, host: bytes) -> None:
        name = host.decode("latin-1")
        well_formed = bool(split_domain_port(name)[0])
        if not well_formed or not (
            is_loopback_name(name) or without_port(name).rstrip(".") in self._allowed
        ):
            raise UnknownHost(name)
        if len(self._known) < _REMEMBERED_HOSTS:
            self._known.add(host)


class GuardedRequest(ASGIRequest):
    """A request that came through the guard, which is the one to decide about its host.

    Django's own list cannot say "every loopback address", so /ui/ and /admin/ on 127.0.0.2
    answered 400 where the API answered. A list of "*" could, but would also hold for
    `runserver --noasgi`, where no guard stands in front.
    """

    def get_host(self) -> str:
        return str(self.META["HTTP_HOST"])


class GuardedHandler(ASGIHandler):
    """Django behind a `HostGuard`, and only there."""

    request_class = GuardedRequest


def _opens_a_page(scope: Scope, mode: bytes) -> bool:
    """A link on another site may lead to our pages; they show, and change nothing by that."""
    path: str = scope["path"]
    return (
        mode == b"navigate"
        and scope["type"] == "http"
        and scope["method"] == "GET"
        and (path == "/" or path.startswith(_PAGES))
    )


def _same_origin(origin: bytes, host: bytes) -> bool:
    return origin.partition(b"://")[2].lower() == host.lower()


async def _answer_options(scope: Scope, send: Send, friend: bytes) -> None:
    """What may be done; to a page of another site, only when it is a friend's."""
    headers = [(b"allow", _METHODS)]
    if friend:
        headers += [
            *_readable_by(friend),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _wanted_headers(scope)),
            (b"access-control-max-age", b"86400"),
        ]
    await _answer(send, 204, b"", headers)


def _wanted_headers(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"access-control-request-headers":
            tokens = (token.strip() for token in value.split(b","))
            return b", ".join(token for token in tokens if _TOKEN.fullmatch(token))
    return b"Content-Type, Authorization, Accept, X-Requested-With"


def _readable_by(friend: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", friend), (b"vary", b"Origin")]


async def _send_readable(send: Send, friend: bytes, message: Message) -> None:
    """`send` for an answer that a friend's page may read."""
    if message["type"] == "http.response.start":
        headers = [*message.get("headers", ()), *_readable_by(friend)]
        message = {**message, "headers": headers}
    await send(message)


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))] if status != 204 else headers
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
