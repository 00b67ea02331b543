"""The key that a request brings, and its query without one (pure)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from proxy_app.incoming import Scope


def presented_key(scope: Scope, *, from_query: bool = False) -> bytes:
    """The key a request brings: `Authorization`, else `X-API-Key`, else, if allowed, its query."""
    other = b""
    for name, value in scope["headers"]:
        if name == b"authorization" and value:
            stripped: bytes = value.strip()
            if stripped[:7].lower() == b"bearer ":
                return stripped[7:].strip()
            return stripped
        if name == b"x-api-key":
            other = value
    if other or not from_query:
        return other.strip()
    for pair in scope["query_string"].split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"api_key":
            return unquote_to_bytes(value.replace(b"+", b" "))
    return b""


def without_key(query: bytes) -> bytes:
    """A query string without a key, which no engine may see."""
    if b"api_key" not in query:
        return query
    return b"&".join(
        pair
        for pair in query.split(b"&")
        if unquote_to_bytes(pair.partition(b"=")[0]) not in (b"api_key", b"apikey")
    )
