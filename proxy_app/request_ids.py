"""An id for each request, which goes to its engine and back to its client (pure).

A client or a proxy in front may bring its own as `X-Request-ID`; else it is the run of the server
and its number of the request, under which `/api/requests/live` knows it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

HEADER: Final = b"x-request-id"
LONGEST: Final = 128
_USABLE: Final = re.compile(rb"[\t -~]+")
_RUN: Final = secrets.token_hex(3).encode()
"""Tells the requests of this run of the server from those of any other."""


def brought(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that a request came with; b"" without a usable one."""
    for name, value in headers:
        if name == HEADER:
            return value if len(value) <= LONGEST and _USABLE.fullmatch(value) else b""
    return b""


def line(request_id: bytes) -> bytes:
    """The id in the head of an answer."""
    return b"%b: %b\r\n" % (HEADER, request_id)


def ours(number: int) -> bytes:
    """The id of our request with this number."""
    return b"%b-%d" % (_RUN, number)
