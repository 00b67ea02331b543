"""How the accounts of a key and its person stand, in the headers that OpenAI's clients read."""

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
    account, *others = accounts
    requests, tokens = _standings(account, now, today)
    for other in others:
        more = _standings(other, now, today)
        requests, tokens = _scarcer(requests, more[0]), _scarcer(tokens, more[1])
    headers: Headers = []
    _add(headers, b"requests", requests)
    _add(headers, b"tokens", tokens)
    return headers


def _standings(
    account: Account, now: float, today: float
) -> tuple[Standing | None, Standing | None]:
    tokens = limits.tokens_standing(account, now, today) if account.limits.counts_tokens else None
    return limits.requests_standing(account, now), tokens


def _scarcer(one: Standing | None, other: Standing | None) -> Standing | None:
    if one is None or other is None:
        return one or other
    return other if other.left < one.left else one


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
