"""Origins of web pages, as browsers write them: `https://chat.example:8443` (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit


def checked(given: Any) -> list[str]:
    """The origins of a list, each once and in lower case. Raises ValueError with what is wrong.

    There is no wildcard: any page a person opens could then use this server.
    """
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValueError('Enter a list of origins, such as ["https://chat.example"].')
    return list(dict.fromkeys(_origin(item.strip()) for item in given))


def usable(given: Any) -> frozenset[bytes]:
    """The well-formed origins of what is stored, for comparing with an `Origin` header."""
    found = []
    for item in given if isinstance(given, Iterable) else ():
        try:
            found += checked([item])
        except ValueError:
            continue
    return frozenset(origin.encode() for origin in found)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    well_formed = (
        parts.scheme in ("http", "https")
        and parts.hostname
        and parts.path in ("", "/")
        and not (parts.query or parts.fragment or parts.username or "*" in text)
        and port != 0
        and text.isascii()
    )
    if not well_formed:
        raise ValueError(f"{text!r} is no origin. Write it as https://chat.example, without path.")
    return text.lower().removesuffix("/")
