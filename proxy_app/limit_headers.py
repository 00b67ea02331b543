"""How the accounts of a key and its person stand, in the headers that OpenAI's clients read.

Every answer to who is limited has them. They are made as the lines of its head that they become:
as headers one by one, each would be looked at again on the way out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from proxy_app import limits
from proxy_app.limits import Account, Limits, Standing

Header = tuple[bytes, bytes]

_LINES: Final = (
    "x-ratelimit-limit-{0}: %d\r\nx-ratelimit-remaining-{0}: %d\r\nx-ratelimit-reset-{0}: %s\r\n"
)
_REQUESTS: Final = _LINES.format("requests")
_TOKENS: Final = _LINES.format("tokens")


def lines_of(accounts: Sequence[Account]) -> bytes:
    """How accounts stand, by the one of which the least is left. There is at least one."""
    now, today = time.monotonic(), time.time()
    requests, tokens = limits.standings(accounts[0], now, today)
    for account in accounts[1:]:
        other_requests, other_tokens = limits.standings(account, now, today)
        requests = _scarcer(requests, other_requests)
        tokens = _scarcer(tokens, other_tokens)
    return _lines(requests, tokens)


def lines_of_first(own: Limits) -> bytes:
    """The same when a request has begun by `limits.admit_first`."""
    if own.told_first:
        return own.told_first
    requests, tokens = own.requests_per_minute, own.tokens_per_minute
    lines = _lines(
        (requests, requests - 1, own.a_request) if requests else None,
        (tokens, tokens, 0.0) if tokens else None,
    )
    object.__setattr__(own, "told_first", lines)
    return lines


def _lines(requests: Standing | None, tokens: Standing | None) -> bytes:
    # A text is written faster than bytes.
    text = ""
    if requests is not None:
        limit, left, seconds = requests
        text = _REQUESTS % (limit, left, _reset(seconds))
    if tokens is not None:
        limit, left, seconds = tokens
        text += _TOKENS % (limit, left, _reset(seconds))
    return text.encode()


def _reset(seconds: float) -> str:
    # As fine as it is written, so that the same few texts come again and again.
    if seconds < 1:
        return _duration(int(seconds * 1000 + 0.5))
    return _duration(int(seconds + 0.5) * 1000)


def _scarcer(one: Standing | None, other: Standing | None) -> Standing | None:
    if one is None or other is None:
        return one or other
    return other if other[1] < one[1] else one


def headers_in(lines: bytes) -> list[Header]:
    """The same, where whole lines cannot be sent."""
    pairs = (line.partition(b": ") for line in lines.splitlines())
    return [(name, value) for name, _, value in pairs]


@lru_cache(maxsize=4096)
def _duration(milliseconds: int) -> str:
    return limits.duration(milliseconds / 1000)
