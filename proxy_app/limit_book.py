"""Keeps the accounts of limited keys and people while the server runs. For the event loop only."""

from __future__ import annotations

import time
from collections.abc import Iterable

from proxy_app import limits
from proxy_app.access_errors import LimitReached
from proxy_app.entries import tokens_of
from proxy_app.keys import Caller
from proxy_app.limit_headers import headers_of
from proxy_app.limits import Account, Limits, Spent
from proxy_app.records import Line

Accounts = tuple[Account, ...]
Before = tuple[Spent, ...]
"""Tokens of this day and this month, by the database."""


class LimitBook:
    """Accounts by the number of their key, and of their person."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}
        self._persons: dict[int, Account] = {}

    def accounts_of(self, caller: Caller) -> Accounts:
        """The accounts that a caller's requests count against: the key's, and the person's."""
        limits, own, key_id = caller.limits, caller.own, caller.key_id
        if own is None:
            if limits is None or key_id is None:
                return ()
            return (_opened(self._accounts, key_id, limits, caller.spent),)
        person = _opened(self._persons, caller.rights.person_id, own.limits, own.spent)
        if limits is None or key_id is None:
            return (person,)
        return (_opened(self._accounts, key_id, limits, caller.spent), person)

    def next_lane(self, caller: Caller) -> int:
        """Which of the callers that a key counts as its next request belongs to."""
        account = self._accounts.get(caller.key_id or 0)
        return 0 if account is None else limits.next_lane(account)

    def charge(self, lines: Iterable[Line]) -> None:
        """Count the tokens of requests that ended. Told of all of them, in the order they ended."""
        now, today = time.monotonic(), time.time()
        for line in lines:
            used: int | None = None
            for account in (self._accounts.get(line.key_id), self._persons.get(line.person_id)):
                if account is None:
                    continue
                if account.limits.counts_tokens:
                    if used is None:
                        used = tokens_of(line)
                    limits.charge(account, used, now, today)
                limits.settle(account)


def _opened(accounts: dict[int, Account], who: int, limit: Limits, spent: Before) -> Account:
    """Somebody's account, with the limits they have now."""
    account = accounts.get(who)
    if account is None:
        account = accounts[who] = Account(limit)
    elif account.limits is limit:
        return account
    elif account.limits == limit:
        # The keys were read anew, and this one's limits stayed as they were.
        account.limits = limit
        return account
    account.limits = limit
    # What was used before this server knew of the quota, or while there was none. It was added up
    # a while ago, perhaps yesterday.
    limits.begin_periods(account, time.time())
    if spent:
        limits.take_over(account, *spent)
    return account


class within:
    """Holds a place of each account while the block runs. Raises LimitReached on the way in."""

    __slots__ = ("_accounts", "_wanted")

    def __init__(self, accounts: Accounts, wanted: int = 0) -> None:
        """`wanted` is how many tokens the request may use."""
        self._accounts = accounts
        self._wanted = wanted

    def __enter__(self) -> None:
        now, today, accounts = time.monotonic(), time.time(), self._accounts
        for account in accounts:
            refusal = limits.refusal_of(account, now, today)
            if refusal is not None:
                raise LimitReached(refusal, headers_of(accounts))
        for account in accounts:
            limits.begin(account, now, self._wanted)

    def __exit__(self, *error: object) -> None:
        for account in self._accounts:
            limits.end(account, self._wanted)
