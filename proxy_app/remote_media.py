"""Pictures that a request names by their address (pure).

llama-server fetches them by itself from whatever host the address names, the local network and this
machine included, and judges neither what a name leads to nor redirects. Whoever may only use models
could look around by that, so theirs come in the request itself. Administrators decide which
programs run here anyway.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from proxy_app.engine_json import as_read, may_be_json
from proxy_app.errors import InvalidRequest

_PARTS: Final = frozenset(
    ("source", "input_image", "input_audio", "input_video", "image", "audio", "video", "file")
)
"""Objects that hold a picture, a sound or a file, besides all whose name ends with `_url`."""

_ADDRESS: Final = ("url", "data", "file_data")
"""What such an object holds it in. llama-server looks at `data` as at an address, too."""

_KINDS: Final = ("image", "audio", "video", "file", "document")
_SCHEME: Final = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_COMPRESSED: Final = b"content-encoding"


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises InvalidRequest for a body that only the engine could read."""
    if any(name == _COMPRESSED for name, _ in headers):
        raise InvalidRequest("The request body is compressed. Send it as it is.")


def check(body: bytes) -> None:
    """Raises InvalidRequest for a JSON body that has the engine fetch something.

    What begins like JSON and cannot be read is refused as well: an engine may be less strict, and
    would see what was not seen here. Anything else is no request that names pictures.
    """
    # Most begin like that, and in no other encoding.
    if not body.startswith(b'{"') and not json.detect_encoding(body[:4]).startswith("utf-8"):
        if may_be_json(body[:64]):
            raise InvalidRequest("The request body is not UTF-8. Send it in UTF-8.")
        return
    # Without any of these it has no field that llama-server fetches a picture from; names can be
    # spelled with escapes, too. Every request comes by: a loop over them takes twice as long.
    if not (b'url"' in body or b'"source"' in body or b'data"' in body or b"\\u" in body):
        return
    if not may_be_json(body[:4096]):
        return
    try:
        fields = msgspec.json.decode(as_read(body))
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidRequest(f"The request body is not JSON ({error}).") from None
    if any(_SCHEME.match(address.strip()) for address in _addresses(fields)):
        raise InvalidRequest(
            "The request names a picture by its address. Send the picture itself, as a data: URL: "
            "only a key with the right 'admin' may have the server fetch what it likes."
        )


def _addresses(body: Any) -> Iterator[str]:
    """Every text in a body that an engine may take for the address of something to fetch."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            is_media = any(kind in str(value.get("type")) for kind in _KINDS)
            # What a tool was called with is text to the engine, whatever stands in it.
            is_call = value.get("type") == "tool_use" and value is not body
            for name, held in value.items():
                if is_call and name == "input" and isinstance(held, dict):
                    continue
                waiting.append(held)
                yield from _of_field(name, held, is_media)


def _of_field(name: str, held: Any, is_media: bool) -> Iterator[str]:
    if name.endswith("_url") or name in _PARTS:
        if isinstance(held, dict):
            yield from (text for key in _ADDRESS if isinstance(text := held.get(key), str))
        # As a text, `source` says where words are from.
        elif isinstance(held, str) and (is_media or name != "source"):
            yield held
    elif is_media and name in _ADDRESS and isinstance(held, str):
        yield held
