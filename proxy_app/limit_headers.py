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
from proxy_app.limits import Account, Standing

Header = tuple[bytes, bytes]

_LINES: Final = (
    b"x-ratelimit-limit-%b: %%d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%b\r\n"
)
_REQUESTS: Final = _LINES % ((b"requests",) * 3)
_TOKENS: Final = _LINES % ((b"tokens",) * 3)


def lines_of(accounts: Sequence[Account]) -> bytes:
    """How accounts stand, by the one of which the least is left. There is at least one."""
    now, today = time.monotonic(), time.time()
    first, *others = accounts
    requests = limits.requests_standing(first, now)
    tokens = limits.tokens_standing(first, now, today)
    for account in others:
        requests = _scarcer(requests, limits.requests_standing(account, now))
        tokens = _scarcer(tokens, limits.tokens_standing(account, now, today))
    lines = b""
    for form, standing in ((_REQUESTS, requests), (_TOKENS, tokens)):
        if standing is not None:
            limit, left, seconds = standing
            # As fine as it is written, so that the same few texts come again and again.
            fine = int(seconds * 1000 + 0.5) if seconds < 1 else int(seconds + 0.5) * 1000
            lines += form % (limit, left, _reset(fine))
    return lines


def _scarcer(one: Standing | None, other: Standing | None) -> Standing | None:
    if one is None or other is None:
        return one or other
    return other if other[1] < one[1] else one


def headers_in(lines: bytes) -> list[Header]:
    """The same, where whole lines cannot be sent."""
    pairs = (line.partition(b": ") for line in lines.splitlines())
    return [(name, value) for name, _, value in pairs]


@lru_cache(maxsize=4096)
def _reset(milliseconds: int) -> bytes:
    return limits.duration(milliseconds / 1000).encode()
