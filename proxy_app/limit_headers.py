"""How the accounts of a key and its person stand, in the headers that OpenAI's clients read.

Every answer to who is limited has them, so most of their text is made once and kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache

from proxy_app import limits
from proxy_app.limits import Account, Standing

Header = tuple[bytes, bytes]
Headers = list[Header]


def headers_of(accounts: Sequence[Account]) -> Headers:
    """How accounts stand, by the one of which the least is left. There is at least one."""
    now, today = time.monotonic(), time.time()
    first = accounts[0]
    requests = limits.requests_standing(first, now)
    tokens = limits.tokens_standing(first, now, today)
    for account in accounts[1:]:
        requests = _scarcer(requests, limits.requests_standing(account, now))
        tokens = _scarcer(tokens, limits.tokens_standing(account, now, today))
    headers: Headers = []
    if requests is not None:
        headers += _REQUESTS.headers(requests)
    if tokens is not None:
        headers += _TOKENS.headers(tokens)
    return headers


def _scarcer(one: Standing | None, other: Standing | None) -> Standing | None:
    if one is None or other is None:
        return one or other
    return other if other[1] < one[1] else one


class _Named:
    """The headers of one kind of limit."""

    def __init__(self, what: bytes) -> None:
        self._what = what
        self._remaining = b"x-ratelimit-remaining-" + what
        self._around = lru_cache(maxsize=4096)(self._around_of)

    def headers(self, standing: Standing) -> tuple[Header, Header, Header]:
        limit, left, seconds = standing
        # As fine as it is written, so that the same few texts come again and again.
        milliseconds = int(seconds * 1000 + 0.5) if seconds < 1 else int(seconds + 0.5) * 1000
        first, last = self._around(limit, milliseconds)
        return first, (self._remaining, b"%d" % left), last

    def _around_of(self, limit: int, milliseconds: int) -> tuple[Header, Header]:
        text = limits.duration(milliseconds / 1000)
        return (
            (b"x-ratelimit-limit-" + self._what, b"%d" % limit),
            (b"x-ratelimit-reset-" + self._what, text.encode()),
        )


_REQUESTS = _Named(b"requests")
_TOKENS = _Named(b"tokens")
