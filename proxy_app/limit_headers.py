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
    """How accounts stand, by the one of which the least is left."""
    now, today = time.monotonic(), time.time()
    requests = tokens = None
    for account in accounts:
        limit = account.limits
        if limit.requests_per_minute:
            requests = _scarcer(requests, limits.requests_standing(account, now))
        if limit.counts_tokens:
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
    return other if other.left < one.left else one


class _Named:
    """The headers of one kind of limit."""

    def __init__(self, what: bytes) -> None:
        self._what = what
        self._remaining = b"x-ratelimit-remaining-" + what
        self._limit = lru_cache(maxsize=1024)(self._limit_of)
        self._reset = lru_cache(maxsize=4096)(self._reset_of)

    def headers(self, standing: Standing) -> tuple[Header, Header, Header]:
        limit, left, seconds = standing
        # As fine as it is written, so that the same few texts come again and again.
        milliseconds = round(seconds * 1000) if seconds < 1 else round(seconds) * 1000
        return self._limit(limit), (self._remaining, b"%d" % left), self._reset(milliseconds)

    def _limit_of(self, limit: int) -> Header:
        return b"x-ratelimit-limit-" + self._what, b"%d" % limit

    def _reset_of(self, milliseconds: int) -> Header:
        text = limits.duration(milliseconds / 1000)
        return b"x-ratelimit-reset-" + self._what, text.encode()


_REQUESTS = _Named(b"requests")
_TOKENS = _Named(b"tokens")
