"""How the account of a key stands, in the headers that OpenAI's clients read."""

from __future__ import annotations

import time
from typing import Final

from proxy_app import limits
from proxy_app.limits import Account, Standing

Headers = list[tuple[bytes, bytes]]


def headers_of(account: Account) -> Headers:
    """How an account stands, in the headers that OpenAI's clients read."""
    now = time.monotonic()
    headers: Headers = []
    _add(headers, b"requests", limits.requests_standing(account, now))
    if account.limits.counts_tokens:
        _add(headers, b"tokens", limits.tokens_standing(account, now, time.time()))
    return headers


_NAMES: Final = {
    what: tuple(b"x-ratelimit-%s-%s" % (part, what) for part in (b"limit", b"remaining", b"reset"))
    for what in (b"requests", b"tokens")
}


def _add(headers: Headers, what: bytes, standing: Standing | None) -> None:
    if standing is None:
        return
    limit, remaining, reset = _NAMES[what]
    headers += (
        (limit, b"%d" % standing.limit),
        (remaining, b"%d" % standing.left),
        (reset, limits.duration(standing.reset).encode()),
    )
