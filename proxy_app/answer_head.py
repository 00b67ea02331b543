"""The text of an answer's head. Most of its lines come again and again, so they are kept."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from proxy_app import request_ids

K = TypeVar("K")
Pair = tuple[bytes, bytes]

_HEEDED: Final = (b"content-length", b"transfer-encoding", b"connection")
"""Headers that say how the body is sent and what follows."""

_MOST_KEPT: Final = 2048
_LONGEST_KEPT: Final = 256
"""Bytes of a value: some repeat what a client sent."""

_ALWAYS_ANOTHER: Final = frozenset(
    (
        *(request_ids.HEADER, b"set-cookie", b"location", b"etag", b"content-length"),
        *(b"x-ratelimit-remaining-requests", b"x-ratelimit-remaining-tokens"),
    )
)
"""Headers whose value seldom comes again."""

_NO_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
"""What RFC 9110 allows in no name of a header."""
_NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_names: dict[bytes, Pair] = {}
_lines: dict[Pair, Pair] = {}


def line_of(header: Pair) -> Pair:
    """A header's line, and its name if that is one of those to be heeded, else nothing.

    Raises ValueError for what would be read as another header, or as none.
    """
    return _lines.get(header) or _written(header)


def _written(header: Pair) -> Pair:
    name, value = header
    known = _names.get(name)
    if known is None:
        if not name or _NO_NAME.search(name):
            raise ValueError(f"{name!r} is no name of a header.")
        lower = name.lower()
        known = _keep(_names, name, (lower + b": ", lower))
    if _NO_VALUE.search(value):
        raise ValueError(f"The value of the header {name!r} holds a control character.")
    start, lower = known
    line = start + value + b"\r\n", lower if lower in _HEEDED else b""
    if lower in _ALWAYS_ANOTHER or len(value) > _LONGEST_KEPT:
        return line
    return _keep(_lines, header, line)


def _keep(kept: dict[K, Pair], key: K, what: Pair) -> Pair:
    if len(kept) >= _MOST_KEPT:
        kept.clear()  # The usual ones are back at once.
    kept[key] = what
    return what
