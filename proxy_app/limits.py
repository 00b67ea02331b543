"""How much a key, or a person with all their keys, may ask for (pure).

A minute's limit is a bucket that fills evenly, from nothing to all within a minute. Kept is when
it will be full again; what is missing then follows from the clock. Of days and months there are
quotas.

How many tokens a request uses is known when it has ended. Until then what it may use is reserved,
so that many at once do not use a quota many times over; a single one may still go beyond it, and a
bucket of tokens fall below nothing. Times are seconds; a limit of 0 is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from math import inf
from typing import Final, NamedTuple

MINUTE: Final = 60.0
DAY: Final = 86400.0
"""Each day of UTC as `time.time` counts: it leaves leap seconds out."""

ROUNDED: Final = 0.01
"""A request or token of which less is missing is there: after months of running the clock's numbers
are coarse, and what thousands of requests a minute round adds up."""

WHEN_ONE_ENDS: Final = 1.0
"""Seconds after which to come back when too many requests are under way: nobody knows better."""


Bounds = tuple[float, float, float, float, float]
"""What limits come to, so that one look tells whether any is reached. Infinite without one.

Requests under way; seconds to be full again, above which the bucket of requests holds none, and
that of tokens; tokens used or reserved of a day, and of a month.
"""


def _bounds_of(limits: Limits) -> Bounds:
    return (
        limits.parallel or inf,
        _holds_none(limits.requests_per_minute),
        _holds_none(limits.tokens_per_minute),
        limits.tokens_per_day or inf,
        limits.tokens_per_month or inf,
    )


def _holds_none(limit: int) -> float:
    return (limit - 1 + ROUNDED) * MINUTE / limit if limit else inf


def _untold(quota: int, bucket: int) -> float:
    if not quota:
        return inf
    return quota - bucket if bucket else -inf


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key or a person is limited to."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0
    parallel: int = 0
    share: int = 1
    """As how many callers it counts when turns are taken."""
    priority: int | None = None
    """None: that of the model."""

    has_quota: bool = field(init=False, compare=False)
    """Whether tokens of a day or month are counted."""
    bounds: Bounds = field(init=False, compare=False)
    a_request: float = field(init=False, compare=False)
    """Seconds in which the bucket of requests fills by one; 0 without a limit."""
    a_token: float = field(init=False, compare=False)
    """Seconds in which the bucket of tokens fills by one; 0 without a limit."""
    untold_day: float = field(init=False, compare=False)
    """Tokens used of the day up to which more of it is left than fits in the bucket of tokens."""
    untold_month: float = field(init=False, compare=False)
    told_first: bytes = field(init=False, compare=False, default=b"")
    """What the answer to a first request tells (`admit_first`); `limit_headers` keeps it here."""

    def __post_init__(self) -> None:
        requests, tokens = self.requests_per_minute, self.tokens_per_minute
        keep = partial(object.__setattr__, self)
        keep("has_quota", bool(self.tokens_per_day or self.tokens_per_month))
        keep("bounds", _bounds_of(self))
        keep("a_request", MINUTE / requests if requests else 0.0)
        keep("a_token", MINUTE / tokens if tokens else 0.0)
        keep("untold_day", _untold(self.tokens_per_day, tokens))
        keep("untold_month", _untold(self.tokens_per_month, tokens))


class Spent(NamedTuple):
    """Tokens used in a period that begins again by the calendar (UTC)."""

    tokens: int
    until: float
    """When the period ends, in seconds since 1970."""


def day_end(now: float) -> float:
    """When the day of `now` ends (UTC)."""
    return _day_end(now // DAY)


def month_end(now: float) -> float:
    """When the month of `now` ends (UTC)."""
    return _month_end(now // DAY)


# Of a day since 1970. Every account asks for the same one, and holds the same number then.


@lru_cache(maxsize=4)
def _day_end(day: float) -> float:
    return (day + 1) * DAY


@lru_cache(maxsize=4)
def _month_end(day: float) -> float:
    first = datetime.fromtimestamp(day * DAY, UTC).replace(day=1)
    return (first + timedelta(days=32)).replace(day=1).timestamp()


@dataclass(slots=True)
class Account:
    """What a key or a person has used. Owned by the event loop.

    All in one object: with thousands of accounts each that is looked at has left the processor's
    cache since its last request.
    """

    limits: Limits
    requests_full: float = 0.0
    """When the bucket of requests is full again."""
    tokens_full: float = 0.0
    """When the bucket of tokens is full again."""
    day_tokens: int = 0
    day_until: float = 0.0
    """When the day ends, in seconds since 1970."""
    month_tokens: int = 0
    month_until: float = 0.0
    running: int = 0
    reserved: int = 0
    """Tokens that requests under way may use, and those that ended but were not charged yet."""
    settling: int = 0
    """The latter's share of it."""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit is reached, and after how many seconds to come back."""

    what: str
    limit: int
    retry_after: float
    is_pending: bool = False
    """Whether it is only reached if the requests under way use what they may."""


def admit(accounts: Sequence[Account], now: float, today: float, wanted: int = 0) -> Refusal | None:
    """Let a request begin that may use `wanted` tokens, or say why not.

    It counts against all of the accounts, or against none. `now` is on a clock that only goes
    forward, `today` in seconds since 1970.
    """
    for account in accounts:
        if today >= account.day_until:
            begin_periods(account, today)
        under_way, reserved, full = account.running, account.reserved, account.requests_full
        missing = account.tokens_full - now
        own = account.limits
        running, requests, tokens, day, month = own.bounds
        if (
            under_way >= running
            or full - now > requests
            or (missing if missing > 0 else 0) + reserved * own.a_token > tokens
            or account.day_tokens + reserved >= day
            or account.month_tokens + reserved >= month
        ):
            refusal = reached(account, now, today)
            if refusal is not None:
                _leave_before(accounts, account, wanted)
                return refusal
        account.requests_full = (full if full > now else now) + own.a_request
        account.running = under_way + 1
        account.reserved = reserved + wanted
    return None


def admit_first(account: Account, now: float, today: float, wanted: int) -> bool:
    """Let a request begin if it is the first for a while; False: `admit` has to look closer.

    Nothing is under way, and nothing is missing of what `standings` tells, which is of no quota.
    So it is for who asks now and then. It is found out in a fraction of the time, and what the
    answer tells then is always the same.
    """
    own = account.limits
    if (
        account.reserved
        or account.running
        or account.requests_full > now
        or account.tokens_full > now
        or account.day_tokens > own.untold_day
        or account.month_tokens > own.untold_month
        or today >= account.day_until
    ):
        return False
    account.requests_full = now + own.a_request
    account.running = 1
    account.reserved = wanted
    return True


def _leave_before(accounts: Sequence[Account], last: Account, wanted: int) -> None:
    """Take a request back that was let in by the accounts before this one."""
    for account in accounts:
        if account is last:
            return
        take_back((account,), wanted)


def reached(account: Account, now: float, today: float) -> Refusal | None:
    """Which of an account's limits is reached, in the period that has begun; None when none is.

    What takes longest to end goes first: who is told to come back in a second shall get in then.
    """
    limits, reserved = account.limits, account.reserved
    if limits.has_quota:
        limit = limits.tokens_per_month
        if limit and account.month_tokens + reserved >= limit:
            left = account.month_until - today
            return _used_up("tokens a month", limit, account.month_tokens, left)
        limit = limits.tokens_per_day
        if limit and account.day_tokens + reserved >= limit:
            left = account.day_until - today
            return _used_up("tokens a day", limit, account.day_tokens, left)
    if limits.parallel and account.running >= limits.parallel:
        return Refusal("requests at a time", limits.parallel, WHEN_ONE_ENDS)
    if limit := limits.tokens_per_minute:
        missing = account.tokens_full - now
        left = limit - missing * limit / MINUTE if missing > 0 else limit
        if left < 1 - ROUNDED:
            return Refusal("tokens a minute", limit, (1 - left) * MINUTE / limit)
        if left - reserved < 1 - ROUNDED:
            return Refusal("tokens a minute", limit, WHEN_ONE_ENDS, is_pending=True)
    if limit := limits.requests_per_minute:
        missing = account.requests_full - now
        if missing > 0 and (left := limit - missing * limit / MINUTE) < 1 - ROUNDED:
            return Refusal("requests a minute", limit, (1 - left) * MINUTE / limit)
    return None


def _used_up(what: str, limit: int, tokens: int, seconds: float) -> Refusal:
    """A quota is reached, or would be if the requests under way use what they may."""
    if tokens < limit:
        return Refusal(what, limit, WHEN_ONE_ENDS, is_pending=True)
    return Refusal(what, limit, seconds)


def take_back(accounts: Sequence[Account], wanted: int = 0) -> None:
    """A request that was let in did not begin."""
    for account in accounts:
        account.requests_full -= account.limits.a_request
        account.running -= 1
        account.reserved -= wanted


def end(accounts: Sequence[Account], wanted: int = 0) -> None:
    """A request that was let in has ended; `wanted` stays reserved until it is charged."""
    for account in accounts:
        account.running -= 1
        account.settling += wanted


def charge(accounts: Iterable[Account], used: Iterable[int], now: float, today: float) -> None:
    """Tokens that requests used, each from its account.

    Nothing that ended stays reserved: all of it is charged now.
    """
    for account, tokens in zip(accounts, used, strict=True):
        own, full = account.limits, account.tokens_full
        account.reserved -= account.settling
        account.settling = 0
        account.tokens_full = (full if full > now else now) + tokens * own.a_token
        if own.has_quota:
            if today >= account.day_until:
                begin_periods(account, today)
            account.day_tokens += tokens
            account.month_tokens += tokens


def begin_periods(account: Account, today: float) -> None:
    """Begin a new day or month if the last one is over."""
    if today >= account.day_until:
        account.day_tokens, account.day_until = 0, day_end(today)
        if today >= account.month_until:
            account.month_tokens, account.month_until = 0, month_end(today)


def take_over(account: Account, day: Spent, month: Spent) -> None:
    """What was used before this server counted, of periods that are not over."""
    if day.until == account.day_until:
        account.day_tokens = max(account.day_tokens, day.tokens)
    if month.until == account.month_until:
        account.month_tokens = max(account.month_tokens, month.tokens)


def next_lane(account: Account) -> int:
    """Which of the callers that it counts as the next request belongs to."""
    account.turn = (account.turn + 1) % account.limits.share
    return account.turn


Standing = tuple[int, int, float]
"""A limit, what is left of it, and in how many seconds it is whole again."""


def standings(
    account: Account, now: float, today: float
) -> tuple[Standing | None, Standing | None]:
    """How it stands with requests, and with tokens by the limit of which the least is left.

    None: they are not limited.
    """
    limits = account.limits
    requests: Standing | None = None
    tokens: Standing | None = None
    if limit := limits.requests_per_minute:
        missing = account.requests_full - now
        requests = _of_bucket(limit, missing) if missing > 0 else (limit, limit, 0.0)
    if limit := limits.tokens_per_minute:
        missing = account.tokens_full - now
        tokens = _of_bucket(limit, missing) if missing > 0 else (limit, limit, 0.0)
    if limits.has_quota:
        if today >= account.day_until:
            begin_periods(account, today)
        if limit := limits.tokens_per_day:
            rest = limit - account.day_tokens if limit > account.day_tokens else 0
            if tokens is None or rest < tokens[1]:
                tokens = limit, rest, account.day_until - today
        if limit := limits.tokens_per_month:
            rest = limit - account.month_tokens if limit > account.month_tokens else 0
            if tokens is None or rest < tokens[1]:
                tokens = limit, rest, account.month_until - today
    return requests, tokens


def _of_bucket(limit: int, missing: float) -> Standing:
    """`missing` is how many seconds it takes to fill."""
    left = int(limit - missing * limit / MINUTE + ROUNDED)
    return limit, left if left > 0 else 0, missing


def duration(seconds: float) -> str:
    """As OpenAI writes it: 250ms, 7s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
