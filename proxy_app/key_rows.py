"""The ring of keys as the database has it: rows, the rights of their people, and what was used."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import F, Q, Sum
from django.utils import timezone

from models_app import people, rights
from models_app.models import ApiKey, ServerSettings
from models_app.rights import Rights, Role, Scope
from proxy_app.keys import Caller, Key, KeyRing
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
    "allowed_models",
    "allowed_groups",
    "requests_per_minute",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "parallel_requests",
    "queue_share",
    "priority",
)

_UNLIMITED: Final = Limits()


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
    spent = _spent(quotas) if quotas else {}
    required = ServerSettings.current().require_api_key
    return KeyRing.of(required, _keys(rows, spent), people.administrator_exists())


def _keys(rows: list[dict[str, Any]], spent: dict[int, tuple[Spent, ...]]) -> Iterator[Key]:
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
            _rights(row),
            None if limits is _UNLIMITED else limits,
            spent.get(row["pk"], ()),
        )
        yield Key(
            bytes.fromhex(row["digest"]),
            caller,
            expires.timestamp() if expires else None,
            row["shared"],
        )


def _rights(row: dict[str, Any]) -> Rights:
    """What a key grants: never more than its person has now."""
    granted = frozenset(Scope(scope) for scope in row["scopes"])
    if row["person_id"] is not None:
        role = _role(row["person__is_superuser"], row["person__is_staff"])
        granted &= rights.SCOPES_OF[role]
    return Rights(
        row["person_id"] or 0,
        row["name"],
        granted,
        frozenset(row["allowed_models"]),
        frozenset(row["allowed_groups"]),
        row["pk"],
    )


def _role(is_superuser: bool, is_staff: bool) -> Role:
    if is_superuser:
        return Role.ADMINISTRATOR
    return Role.CURATOR if is_staff else Role.USER


def tokens_used(key_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Tokens of this day and this month, by key."""
    return {key: (day.tokens, month.tokens) for key, (day, month) in _spent(list(key_ids)).items()}


def _spent(key_ids: list[int]) -> dict[int, tuple[Spent, ...]]:
    """Tokens of this day and month, from the same sums that usage shows."""
    now = time.time()
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = day_end(now), month_end(now)
    sums = (
        UsageDay.objects.filter(start__gte=today.replace(day=1))
        .exclude(key_id=0)
        .order_by()
        .values("key_id")
        .annotate(
            month=Sum(F("tokens_in") + F("tokens_out")),
            day=Sum(F("tokens_in") + F("tokens_out"), filter=Q(start__gte=today), default=0),
        )
    )
    found = {row["key_id"]: (row["day"], row["month"]) for row in sums}
    return {
        key: tuple(
            Spent(tokens, end) for tokens, end in zip(found.get(key, (0, 0)), ends, strict=True)
        )
        for key in key_ids
    }
