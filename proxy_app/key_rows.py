"""The ring of keys as the database has it: rows, the rights of their people, and what was used."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from django.contrib.auth.models import User
from django.db.models import F, Q, Sum
from django.utils import timezone

from models_app import people, person_limits, rights
from models_app.models import ApiKey, PersonLimits, ServerSettings
from models_app.models.limited import LIMITS
from models_app.rights import Bounds, Rights, Role, Scope
from proxy_app.keys import Allowance, Caller, Key, KeyRing
from proxy_app.limits import Limits, Spent, day_end, month_end
from proxy_app.models import UsageDay

_COLUMNS: Final = (
    "pk",
    "name",
    "digest",
    "shared",
    "expires_at",
    "person_id",
    "person__is_superuser",
    "person__is_staff",
    "scopes",
    *LIMITS,
    "queue_share",
    "priority",
)

_UNLIMITED: Final = Limits()
_Spending = dict[int, tuple[Spent, ...]]


def read_ring() -> KeyRing:
    """All valid keys, and whether one is needed."""
    rows = list(
        ApiKey.objects.filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
            Q(person=None) | Q(person__is_active=True),
            revoked_at=None,
        )
        .order_by()
        .values(*_COLUMNS)
    )
    quotas = [row["pk"] for row in rows if row["tokens_per_day"] or row["tokens_per_month"]]
    spent = _spent("key_id", quotas)
    persons = _Persons.read(PersonLimits.objects.all())
    required = ServerSettings.current().require_api_key
    return KeyRing.of(required, _keys(rows, spent, persons), people.administrator_exists())


def allowance_of(user: User) -> Allowance | None:
    """What somebody who has signed in is limited to."""
    row = person_limits.of(user)
    return _Persons.read([row]).allowances.get(row.person_id)


@dataclass(frozen=True, slots=True)
class _Persons:
    """The limits of people, by their numbers."""

    bounds: dict[int, Bounds]
    allowances: dict[int, Allowance]

    @classmethod
    def read(cls, rows: Iterable[PersonLimits]) -> _Persons:
        limits = {row.person_id: _limits_of(row) for row in rows}
        spent = _spent("person_id", [who for who, limit in limits.items() if limit.has_quota])
        return cls(
            {
                row.person_id: rights.bounds_of(row.allowed_models, row.allowed_groups)
                for row in rows
            },
            {
                who: Allowance(limit, spent.get(who, ()))
                for who, limit in limits.items()
                if limit != _UNLIMITED
            },
        )


def _limits_of(row: PersonLimits) -> Limits:
    return Limits(
        row.requests_per_minute or 0,
        row.tokens_per_minute or 0,
        row.tokens_per_day or 0,
        row.tokens_per_month or 0,
        row.parallel_requests or 0,
    )


def _keys(rows: list[dict[str, Any]], spent: _Spending, persons: _Persons) -> Iterator[Key]:
    known: dict[Limits, Limits] = {_UNLIMITED: _UNLIMITED}
    for row in rows:
        limits = Limits(
            row["requests_per_minute"] or 0,
            row["tokens_per_minute"] or 0,
            row["tokens_per_day"] or 0,
            row["tokens_per_month"] or 0,
            row["parallel_requests"] or 0,
            row["queue_share"],
            row["priority"],
        )
        limits = known.setdefault(limits, limits)
        expires = row["expires_at"]
        caller = Caller(
            row["name"],
            row["pk"],
            _rights(row, persons),
            None if limits is _UNLIMITED else limits,
            spent.get(row["pk"], ()),
            persons.allowances.get(row["person_id"]),
            # Administrators decide who goes before whom anyway.
            row["person_id"] is not None and not row["person__is_superuser"],
        )
        yield Key(
            bytes.fromhex(row["digest"]),
            caller,
            expires.timestamp() if expires else None,
            row["shared"],
        )


def _rights(row: dict[str, Any], persons: _Persons) -> Rights:
    """What a key grants: never more than its person has now."""
    role = None
    if row["person_id"] is not None:
        role = _role(row["person__is_superuser"], row["person__is_staff"])
    return Rights(
        row["person_id"] or 0,
        row["name"],
        _granted(tuple(row["scopes"]), role),
        rights.bounds_of(row["allowed_models"], row["allowed_groups"])
        + persons.bounds.get(row["person_id"], ()),
        row["pk"],
    )


@lru_cache(maxsize=64)
def _granted(scopes: tuple[str, ...], role: Role | None) -> frozenset[Scope]:
    """One set for all keys that grant the same: thousands do not stay in the processor's cache."""
    granted = frozenset(map(Scope, scopes))
    return granted if role is None else granted & rights.SCOPES_OF[role]


def _role(is_superuser: bool, is_staff: bool) -> Role:
    if is_superuser:
        return Role.ADMINISTRATOR
    return Role.CURATOR if is_staff else Role.USER


def tokens_used(key_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Tokens of this day and this month, by key."""
    spent = _spent("key_id", list(key_ids))
    return {key: (day.tokens, month.tokens) for key, (day, month) in spent.items()}


def _spent(whose: str, ids: list[int]) -> _Spending:
    """Tokens of this day and month, from the same sums that usage shows.

    `whose` is the column that holds the ids.
    """
    if not ids:
        return {}
    now = time.time()
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = day_end(now), month_end(now)
    sums = (
        UsageDay.objects.filter(start__gte=today.replace(day=1))
        .exclude(**{whose: 0})
        .order_by()
        .values(whose)
        .annotate(
            month=Sum(F("tokens_in") + F("tokens_out")),
            day=Sum(F("tokens_in") + F("tokens_out"), filter=Q(start__gte=today), default=0),
        )
    )
    found = {row[whose]: (row["day"], row["month"]) for row in sums}
    return {
        one: tuple(
            Spent(tokens, end) for tokens, end in zip(found.get(one, (0, 0)), ends, strict=True)
        )
        for one in ids
    }
