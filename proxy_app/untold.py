"""Requests of which an engine does not tell all the tokens that they used (pure).

Of several answers to one request llama-server counts the last alone, and `response_fields` may
leave out what it counted. By either a key would use its quota as it likes. What went in and came
out then says about how much it was.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from proxy_app.engine_json import BEGINNING, as_read, may_be_json
from proxy_app.reservation import BYTES_A_TOKEN, prompts_in


class _Asked(msgspec.Struct):
    """What asks for more than one answer, or for less than all of it. It may hold anything."""

    n: Any = None
    n_cmpl: Any = None
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    response_fields: Any = None


_read: Final = msgspec.json.Decoder(_Asked).decode


def prompt_guess(body: object) -> int:
    """About how many tokens the prompt of such a request has; 0 of one that is told wholly."""
    if not isinstance(body, bytes):
        return 0
    # Without any of these it is none of them; names can be spelled with escapes, too. Every request
    # comes by: a loop over them takes twice as long.
    if not (
        b'"n"' in body
        or b'"n_cmpl"' in body
        or b'"prompt"' in body
        or b'"response_fields"' in body
        or b"\\u" in body
    ):
        return 0
    try:
        asked = _read(as_read(body))
        told = not asked.response_fields and not _asks_for_several(asked)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        told = not may_be_json(body[:BEGINNING])  # An engine that can read it answers it.
    return 0 if told else max(1, len(body) // BYTES_A_TOKEN)


def _asks_for_several(asked: _Asked) -> bool:
    if any(isinstance(count, int | float) and count >= 2 for count in (asked.n, asked.n_cmpl)):
        return True
    return prompts_in(asked.prompt) > 1
