"""What a server says of a file before it is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import requests

from downloads_app.trouble import Kind, Trouble, of_network, of_status

CONNECT_SECONDS = 15.0
STALL_SECONDS = 30.0
"""How long a server may send nothing."""

LONGEST_WAIT = 3600.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 10

_SHA256 = re.compile(r'"?([0-9a-fA-F]{64})"?')
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server."""

    url: str
    """Where it really lies, redirects followed. May be valid for an hour only."""
    size: int | None
    """Bytes; None when the server does not say."""
    etag: str
    """Strong or weak, as sent; the time of the last change without one. The hub's own word before
    its store's."""
    tag: str
    """The same as told by the host at `url` itself, to notice a change halfway."""
    sha256: str
    """The whole file's, in lower case; empty when nobody tells it."""
    ranges: bool
    """Whether parts of it can be asked for."""
    secret: bool
    """Whether the token may be sent along to `url`: it is on the host the token is for."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a Content-Range header says: first and last byte, and the whole file's size."""

    first: int | None
    last: int | None
    size: int | None


def look(session: requests.Session, url: str, token: str = "") -> Remote:
    """Ask for the first byte of a file. Raises Trouble.

    A request that is really a ranged one shows whether ranges work; HEAD is often answered
    by other code than GET, or not at all. Redirects are followed by hand: the hub names size and
    digest in the redirect itself, and the token must not follow to another host.
    """
    here = url
    linked: dict[str, str] = {}
    for _ in range(MAX_REDIRECTS):
        trusted = same_host(url, here)
        reply = ask(session, here, token if trusted else "", {"Range": "bytes=0-0"})
        with reply:
            linked = {**linked, **_linked(reply.headers)}
            target = reply.headers.get("Location", "")
            if reply.status_code in REDIRECTS and target:
                here = _followed(here, target)
                continue
            if reply.status_code not in (200, 206, 416):
                raise refusal(reply, host_of(here))
            return _remote(reply, here, linked, trusted)
    raise Trouble(Kind.ADDRESS, f"{host_of(url)} redirects without end. Check the address.")


def ask(
    session: requests.Session, url: str, token: str, headers: Mapping[str, str]
) -> requests.Response:
    """GET, unread and without following redirects. Raises Trouble."""
    sent = {"Accept-Encoding": "identity", **headers}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        return session.get(
            url,
            headers=sent,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, STALL_SECONDS),
        )
    except requests.RequestException as error:
        raise of_network(error, host_of(url)) from error


def refusal(reply: requests.Response, host: str) -> Trouble:
    """The trouble that a reply without content stands for."""
    code = reply.headers.get("X-Error-Code", "")
    return of_status(reply.status_code, host, retry_after(reply.headers), code)


def span_of(headers: Mapping[str, str]) -> Span | None:
    """The Content-Range of a reply; None without one that can be read."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if not found:
        return None
    first, last, size = found.groups()
    return Span(
        int(first) if first else None,
        int(last) if last else None,
        None if size == "*" else int(size),
    )


def tag_of(headers: Mapping[str, str]) -> str:
    """What tells two versions of a file apart; empty when the server says nothing of the kind."""
    return headers.get("ETag", "") or headers.get("Last-Modified", "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a Retry-After in seconds or as a date; None without one."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), LONGEST_WAIT)


def host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the server"
    except ValueError:
        return "the server"


def same_host(one: str, other: str) -> bool:
    """Whether two addresses are of one origin, so that a token for one may go to the other.

    An address that cannot be understood is of none.
    """
    try:
        a, b = urlsplit(one), urlsplit(other)
        return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)
    except ValueError:
        return False


def _followed(here: str, target: str) -> str:
    there = urljoin(here, target)
    if urlsplit(there).scheme not in ("http", "https"):
        raise Trouble(Kind.ADDRESS, f"{host_of(here)} redirects to something that is no web page.")
    if urlsplit(here).scheme == "https" and urlsplit(there).scheme != "https":
        text = f"{host_of(here)} redirects to an address that is not encrypted. It is not followed."
        raise Trouble(Kind.ADDRESS, text)
    return there


def _linked(headers: Mapping[str, str]) -> dict[str, str]:
    """What the hub says of the file it redirects to."""
    names = ("X-Linked-Etag", "X-Linked-Size")
    return {name: headers[name] for name in names if name in headers}


def _remote(reply: requests.Response, url: str, linked: Mapping[str, str], trusted: bool) -> Remote:
    headers = reply.headers
    span = span_of(headers)
    # Only the hub's own word is a digest; any other server may put what it likes in an ETag.
    digest = _SHA256.fullmatch(linked.get("X-Linked-Etag", ""))
    return Remote(
        url=url,
        size=_size(reply, span, linked.get("X-Linked-Size", "")),
        etag=linked.get("X-Linked-Etag") or tag_of(headers),
        tag=tag_of(headers),
        sha256=digest.group(1).lower() if digest else "",
        ranges=reply.status_code == 206 and span is not None,
        secret=trusted,
    )


def _size(reply: requests.Response, span: Span | None, linked: str) -> int | None:
    if span is not None and span.size is not None:
        return span.size
    if linked.isdecimal():
        return int(linked)
    length = reply.headers.get("Content-Length", "")
    return int(length) if reply.status_code == 200 and length.isdecimal() else None
