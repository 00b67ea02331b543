"""Which names this server answers to, and which pages may drive it.

A web page on another site can make a browser send requests here, by a form, an image or a host
name that it points at this machine. So the `Host` must be one of ours, and what a browser says
about where a request comes from must be one of our own pages (`strangers`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache, partial

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.request import split_domain_port

from proxy_app.access_errors import ForeignPage, GetChangesNothing, LooksLikeForm, UnknownHost
from proxy_app.errors import GatewayError
from proxy_app.forward import answer_refusal
from proxy_app.incoming import ClientLink, Message, Receive, Scope, Send, Take, take_nothing
from proxy_app.strangers import WEBSOCKET, Friends, Headers, Verdict, is_vouched_for, judge

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


@lru_cache(256)
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
        origins: Friends = tuple,
    ) -> None:
        """`allowed` are names besides the loopback ones, as in Django's ALLOWED_HOSTS.

        `origins` are the other sites whose pages may use the API, never our own pages.
        """
        self._origins = origins
        self._app = app
        self._allowed = {without_port(name) for name in allowed}
        self._known: set[bytes] = set()
        self._take: Take = getattr(app, "take", take_nothing)

    def take(self, scope: Scope, link: ClientLink) -> bool:
        """Whether a request that may pass was taken by what is behind this guard."""
        try:
            harmless = not self._check(scope)
        except GatewayError:
            return False
        return harmless and self._take(scope, link)

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
        headers = headers_of(scope)
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host)
        method = scope.get("method", WEBSOCKET)
        verdict = judge(method, scope["path"], headers, self._origins, _is_secure(scope))
        if verdict is Verdict.HARMLESS:
            return b""
        if verdict is Verdict.FRIEND:
            return headers[b"origin"]
        if verdict is Verdict.FORM:
            raise LooksLikeForm
        raise ForeignPage(headers.get(b"origin", b"").decode("latin-1"))

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


def headers_of(scope: Scope) -> Headers:
    """A request's headers by name; of one that came twice the last, and of `Host` none."""
    pairs = scope["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    if len(headers) != len(pairs) and sum(name == b"host" for name, _ in pairs) > 1:
        # Two of them are no name at all: who comes after us may believe the other one.
        headers[b"host"] = b""
    return headers


def refuse_to_change(scope: Scope, friends: Friends, instead: str) -> None:
    """Raises GetChangesNothing for a read that a page of another site may have sent.

    `instead` tells what would do.
    """
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return
    if not is_vouched_for(headers_of(scope), friends, _is_secure(scope)):
        raise GetChangesNothing(instead)


def _is_secure(scope: Scope) -> bool:
    return scope.get("scheme") in ("https", "wss")


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
