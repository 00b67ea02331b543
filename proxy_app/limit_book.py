"""Keeps each limited key's account while the server runs. Used in the event loop only."""

from __future__ import annotations

import time
from collections.abc import Iterable

from proxy_app import limits
from proxy_app.access_errors import LimitReached
from proxy_app.entries import figures_of
from proxy_app.keys import Caller
from proxy_app.limit_headers import headers_of
from proxy_app.limits import Account
from proxy_app.records import Line


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
                figures = figures_of(line)
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
