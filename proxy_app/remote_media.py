"""Pictures that a request names by their address (pure).

llama-server fetches them by itself from whatever host the address names, the local network and this
machine included, and judges neither what a name leads to nor redirects. Whoever may only use models
could look around by that, so theirs come in the request itself. Administrators decide which
programs run here anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy_app.errors import InvalidRequest

_SIGNS: Final = (b"_url", b'"source"', b"\\u")
"""A body without any of these names no picture; names can be spelled with escapes, too."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NAMED_BY: Final = ("image_url", "audio_url", "video_url", "source")
"""Of chat completions, responses and messages: a text, or an object with a `url`."""


def may_be_json(start: bytes) -> bool:
    """Whether a body that begins like that could be a JSON object, and is worth reading whole."""
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip(b" \t\r\n")
    return not text or text.startswith(b"{")


def check(body: bytes) -> None:
    """Raises InvalidRequest for a JSON body that has the engine fetch something.

    What is no JSON is passed over: the engine does not read it either.
    """
    if not any(sign in body for sign in _SIGNS):
        return
    try:
        fields = msgspec.json.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeError):
        return
    if any(address.lower().startswith("http") for address in _addresses(fields)):
        raise InvalidRequest(
            "The request names a picture by its address. Send the picture itself, as a data: URL: "
            "only a key with the right 'admin' may have the server fetch what it likes."
        )


def _addresses(fields: Any) -> Iterator[str]:
    waiting = [fields]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        # What a tool was called with is text to the engine, whatever stands in it.
        elif isinstance(value, dict) and value.get("type") != "tool_use":
            for name in _NAMED_BY:
                named = value.get(name)
                if isinstance(named, dict):
                    named = named.get("url")
                if isinstance(named, str):
                    yield named
            waiting += value.values()
