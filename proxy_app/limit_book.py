"""Keeps the accounts of limited keys and people while the server runs. For the event loop only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from proxy_app import limits
from proxy_app.access_errors import LimitReached
from proxy_app.entries import tokens_of
from proxy_app.keys import Caller
from proxy_app.limit_headers import headers_in, lines_of
from proxy_app.limits import Account, Limits, Spent
from proxy_app.records import Line

_NOBODYS: Final = Account(Limits())
"""What is counted of those without limits; nobody looks at it."""

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
        accounts = caller.accounts
        # An account may have got other limits meanwhile: a request that began before they changed
        # still has those of then.
        if accounts is None or (accounts and accounts[0].limits is not caller.limits):
            accounts = self._accounts_of(caller)
            if caller.own is None:
                object.__setattr__(caller, "accounts", accounts)
        return accounts

    def _accounts_of(self, caller: Caller) -> Accounts:
        limits, own, key_id = caller.limits, caller.own, caller.key_id
        accounts: Accounts = ()
        if limits is not None and key_id is not None:
            accounts = (_opened(self._accounts, key_id, limits, caller.spent),)
        if own is not None:
            person_id = caller.rights.person_id
            accounts += (_opened(self._persons, person_id, own.limits, own.spent),)
        return accounts

    def charge(self, lines: Iterable[Line]) -> None:
        """Count the tokens of requests that ended. Told of all of them, in the order they ended."""
        accounts, persons = self._accounts, self._persons
        limited = [line for line in lines if line.key_id in accounts or line.person_id in persons]
        if not limited:
            return
        now, today, used = time.monotonic(), time.time(), tokens_of(limited)
        keys = [accounts.get(line.key_id, _NOBODYS) for line in limited]
        limits.charge(keys, used, now, today)
        if persons:
            people = [persons.get(line.person_id, _NOBODYS) for line in limited]
            limits.charge(people, used, now, today)


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


def enter(accounts: Sequence[Account], wanted: int = 0) -> None:
    """Begin a request that may use `wanted` tokens; `limits.end` has to follow.

    Raises LimitReached, and then nothing has begun.
    """
    refusal = limits.admit(accounts, time.monotonic(), time.time(), wanted)
    if refusal is not None:
        raise LimitReached(refusal, headers_in(lines_of(accounts)))
