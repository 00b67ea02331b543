"""How the account of a key stands, in the headers that OpenAI's clients read."""

from __future__ import annotations

import time
from functools import lru_cache

from proxy_app import limits
from proxy_app.limits import Account, Standing

Header = tuple[bytes, bytes]
Headers = list[Header]


def headers_of(account: Account) -> Headers:
    """How an account stands, in the headers that OpenAI's clients read."""
    now = time.monotonic()
    headers: Headers = []
    _add(headers, b"requests", limits.requests_standing(account, now))
    if account.limits.counts_tokens:
        _add(headers, b"tokens", limits.tokens_standing(account, now, time.time()))
    return headers


def _add(headers: Headers, what: bytes, standing: Standing | None) -> None:
    if standing is None:
        return
    limit, left, seconds = standing
    # As fine as it is written, so that the same few texts come again and again.
    milliseconds = round(seconds * 1000) if seconds < 1 else round(seconds) * 1000
    headers += (
        _limit(what, limit),
        (_REMAINING[what], b"%d" % left),
        _reset(what, milliseconds),
    )


_REMAINING = {what: b"x-ratelimit-remaining-" + what for what in (b"requests", b"tokens")}


@lru_cache(maxsize=1024)
def _limit(what: bytes, limit: int) -> Header:
    return b"x-ratelimit-limit-" + what, b"%d" % limit


@lru_cache(maxsize=4096)
def _reset(what: bytes, milliseconds: int) -> Header:
    return b"x-ratelimit-reset-" + what, limits.duration(milliseconds / 1000).encode()
