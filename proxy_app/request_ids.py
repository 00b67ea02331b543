"""An id for each request, which goes to its engine and back to its client (pure).

A client or a proxy in front may bring its own as `X-Request-ID`; else it is our number of the
request, under which `/api/requests` lists it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEADER: Final = b"x-request-id"
LONGEST: Final = 128


def brought(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that a request came with; b"" without a usable one."""
    for name, value in headers:
        if name == HEADER:
            return value if 0 < len(value) <= LONGEST and value.isascii() else b""
    return b""
