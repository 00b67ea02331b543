"""Keeps each limited key's account while the server runs. Used in the event loop only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from proxy_app import limits
from proxy_app.errors import LimitReached
from proxy_app.figures import read_figures
from proxy_app.incoming import Message, Send
from proxy_app.keys import Caller
from proxy_app.limits import Account, Standing
from proxy_app.records import Line

Headers = list[tuple[bytes, bytes]]


class LimitBook:
    """Accounts by the number of their key."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}

    def account_of(self, caller: Caller) -> Account | None:
        """The account of a caller; None of one that is not limited."""
        if caller.limits is None or caller.key_id is None:
            return None
        account = self._accounts.get(caller.key_id)
        if account is None:
            account = self._accounts[caller.key_id] = Account(caller.limits)
            self._start(account, caller)
        elif account.limits is not caller.limits:
            account.limits = caller.limits
            self._start(account, caller)
        return account

    def charge(self, lines: Iterable[Line]) -> None:
        """Count the tokens of requests that ended."""
        for line in lines:
            account = self._accounts.get(line.key_id) if line.key_id else None
            if account is not None and account.limits.counts_tokens:
                figures = read_figures(line.figures)
                used = (figures.tokens_in or 0) + (figures.tokens_out or 0)
                if used:
                    limits.charge(account, used, time.monotonic(), time.time())

    def _start(self, account: Account, caller: Caller) -> None:
        """What was used before this server knew of the quota."""
        today = time.time()
        if account.day.until > today:
            return  # Counted here from the beginning.
        limits.begin_periods(account, today)
        # They were added up a while ago, perhaps yesterday.
        for spent, before in zip((account.day, account.month), caller.spent, strict=False):
            if spent.until == before.until:
                spent.tokens = before.tokens


class within:
    """Holds one of an account's places while the block runs. Raises LimitReached on the way in."""

    __slots__ = ("_account",)

    def __init__(self, account: Account) -> None:
        self._account = account

    def __enter__(self) -> None:
        account = self._account
        refusal = limits.admit(account, time.monotonic(), time.time())
        if refusal is not None:
            standing = headers_of(account)
            raise LimitReached(refusal.what, refusal.limit, refusal.retry_after, standing)

    def __exit__(self, *error: object) -> None:
        limits.end(self._account)


def headers_of(account: Account) -> Headers:
    """How an account stands, in the headers that OpenAI's clients read."""
    now = time.monotonic()
    headers: Headers = []
    _add(headers, b"requests", limits.requests_standing(account, now))
    if account.limits.counts_tokens:
        _add(headers, b"tokens", limits.tokens_standing(account, now, time.time()))
    return headers


async def send_with_limits(send: Send, account: Account, message: Message) -> None:
    """`send` that tells with each answer how its account stands."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], *headers_of(account)]
    await send(message)


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
