"""Whether a web page of another site may have sent a request, by what browsers say of it (pure).

Browsers name the page's site in `Origin` with everything that is no plain GET, and in
`Sec-Fetch-Site` wherever the connection is trustworthy; pages can forge neither. What a page may
send anywhere without asking first is a GET, or a POST with one of the content types that forms
have. Programs that are no browsers say nothing of the kind.

`judge` goes through this table from the top; the first row that fits decides.

| # | the request                                                          | is        |
|---|----------------------------------------------------------------------|-----------|
| 1 | of a listed origin, not for our pages                                | a friend's|
| 2 | from another site: a browser opens one of our pages by a link        | harmless  |
| 3 | from another site, as `Sec-Fetch-Site` says                          | foreign   |
| 4 | GET, HEAD, OPTIONS; what they change all the same asks `is_vouched_for` | harmless  |
| 5 | its `Origin` is not this server                                      | foreign   |
| 6 | a form, for our pages, which look for its CSRF token                 | harmless  |
| 7 | a form that brings neither `Origin`, nor `Sec-Fetch-Site`, nor a key | a form    |
| 8 | anything else                                                        | harmless  |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Final

Headers = Mapping[bytes, bytes]
"""By name in lower case."""
Friends = Callable[[], Collection[bytes]]
"""Gives the other origins whose pages may use the API, in lower case; asked when it matters."""

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method of a WebSocket's handshake, which browsers let any page begin."""

_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_FOREIGN_SITES: Final = frozenset((b"cross-site", b"same-site"))
"""Another port of this machine is the same site, and another program."""
_FORMS: Final = frozenset(
    (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")
)
"""What a page may post anywhere without asking first."""
_JSON: Final = b"application/json"
_PAGES: Final = frozenset(("ui", "admin"))


class Verdict(Enum):
    HARMLESS = auto()
    FRIEND = auto()
    """Of a page of a listed site: it may read the answer."""
    FOREIGN = auto()
    FORM = auto()
    """It could be the form of a page whose browser does not say where it is from."""


def judge(
    method: str,
    path: str,
    headers: Headers,
    friends: Friends,
    secure: bool = False,
) -> Verdict:
    """Who sent a request, by the table above. `secure`: it came by HTTPS."""
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site")
    if origin is not None and not is_for_pages(path) and origin.lower() in friends():
        return Verdict.FRIEND
    if site in _FOREIGN_SITES:
        return Verdict.HARMLESS if _opens_a_page(method, path, headers) else Verdict.FOREIGN
    if method in _READS:
        return Verdict.HARMLESS
    if origin is not None:
        ours = is_same_origin(origin, headers, secure)
        return Verdict.HARMLESS if ours else Verdict.FOREIGN
    if site is None and _is_form(headers) and not brings_key(headers) and not is_for_pages(path):
        return Verdict.FORM
    return Verdict.HARMLESS


def is_vouched_for(headers: Headers, friends: Friends, secure: bool = False) -> bool:
    """Whether a GET may change something: it brings a key, or one of our own pages sent it.

    An image or a link on any page is a GET too, and over plain HTTP browsers do not say whose.
    """
    if brings_key(headers):
        return True
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    if origin is not None:
        return is_same_origin(origin, headers, secure) or origin.lower() in friends()
    if site is not None:
        return site == b"same-origin"
    referrer = headers.get(b"referer", b"")
    address = b"/".join(referrer.split(b"/", 3)[:3])
    return is_same_origin(address, headers, secure)


def is_for_pages(path: str) -> bool:
    """Whether a path is one of our pages, whose forms carry a CSRF token."""
    return path[1:].partition("/")[0] in _PAGES


def is_same_origin(origin: bytes, headers: Headers, secure: bool = False) -> bool:
    """Whether an origin is this server under the name it was asked by.

    A proxy that is not named may hide that the client came by HTTPS; that it came without is
    never hidden.
    """
    scheme, separator, host = origin.lower().partition(b"://")
    if not separator or scheme not in (b"http", b"https") or (secure and scheme != b"https"):
        return False
    return bool(host) and host == headers.get(b"host", b"").lower()


def brings_key(headers: Headers) -> bool:
    """Whether a request carries a key of whatever worth: no page can add one without asking.

    Basic credentials do not count: a browser sends those of an address, `http://me:word@host/`, by
    itself.
    """
    if headers.get(b"x-api-key", b"").strip():
        return True
    authorization = headers.get(b"authorization", b"").strip().lower()
    return bool(authorization) and authorization.partition(b" ")[0] != b"basic"


def _opens_a_page(method: str, path: str, headers: Headers) -> bool:
    """A link on another site may lead to our pages; they show, and change nothing by that."""
    return (
        method == "GET"
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and (path == "/" or is_for_pages(path))
    )


def _is_form(headers: Headers) -> bool:
    content_type = headers.get(b"content-type", _JSON)
    if content_type == _JSON:  # Nearly always; the rest costs four times as much as asking.
        return False
    return content_type.partition(b";")[0].strip().lower() in _FORMS
