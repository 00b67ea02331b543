"""API keys: made, replaced, revoked. Looking them up is the serving side's (proxy_app/keys.py).

A key is kept as an HMAC under the server's secret, so that a copy of the database alone neither
lets anybody in nor tells whether a guess is right.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app import people
from models_app.models import ApiKey, ServerSettings
from models_app.rights import EVERYTHING, SCOPES_OF, Rights, Scope

BEGINNING = "sk-"
"""What clients expect keys to begin with; some check."""

KEY_BYTES = 24
SHOWN = 8
"""Characters of a made key that are kept to tell it from others; five of them are random."""

SHARED_NAME = "Shared key"

OF_ADMINISTRATORS: Final = ("priority", "queue_share")
"""What puts a key before those of others: nobody gives it to their own."""

PLACES_ARE_GIVEN = (
    "Only an administrator gives a key a priority or a larger share of the queue. Leave both out."
)

A_KEY_MAKES_NONE = (
    "A key makes no keys, or its limits would limit nobody. Sign in and make it on the page, or "
    "use an administrator's key."
)


class Left(NamedTuple):
    """Tokens that are left of a key's quotas (UTC); None without one."""

    today: int | None = None
    month: int | None = None


TokensUsed = Callable[[Collection[int]], Mapping[int, tuple[int, int]]]
"""Tokens of this day and this month by the numbers of keys."""

_tokens_used: TokensUsed | None = None


class KeyRejected(ValueError):
    """The text cannot be a key; the message says why."""


def digester() -> hmac.HMAC:
    """An HMAC to copy and feed one key; making it costs more than using it."""
    secret = hashlib.sha256(b"claracore.api-key" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(secret, digestmod="sha256")


def digest_of(key: str) -> str:
    """What is kept of a key, in hex."""
    mac = digester()
    mac.update(key.encode())
    return mac.hexdigest()


def create(
    name: str, expires_at: datetime | None = None, *, person: User | None = None, **choices: Any
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which nobody can read again.

    `choices` are its scopes and limits, by the names of the columns. Raises KeyRejected for what
    its person may not grant.
    """
    row = ApiKey(name=name, expires_at=expires_at, person=person, **choices)
    return row, make(row)


def make(row: ApiKey) -> str:
    """Save a new row, and give its key. Raises KeyRejected."""
    check_grant(row)
    key = BEGINNING + secrets.token_urlsafe(KEY_BYTES)
    row.prefix, row.digest = key[:SHOWN], digest_of(key)
    row.save()
    return key


def change(row: ApiKey, **choices: Any) -> None:
    """Change a key's name, expiry, scopes or limits. Raises KeyRejected."""
    for name, value in choices.items():
        setattr(row, name, value)
    check_grant(row)
    row.save(update_fields=list(choices))


def check_grant(row: ApiKey) -> None:
    """Raises KeyRejected for scopes that do not exist or that its person does not have."""
    if not row.scopes or set(row.scopes) - EVERYTHING:
        raise KeyRejected(f"A key has one or more of the scopes {', '.join(Scope)}.")
    if row.person is None:
        return
    role = people.role_of(row.person)
    lacking = sorted(set(row.scopes) - SCOPES_OF[role])
    if lacking:
        raise KeyRejected(
            f"{row.person.get_username()} is {role.with_article} and cannot grant "
            f"{' and '.join(lacking)} to a key."
        )


def visible_to(rights: Rights) -> QuerySet[ApiKey]:
    """The keys somebody sees: administrators all, everybody else their own, a key itself."""
    rows = ApiKey.objects.select_related("person")
    if rights.may(Scope.ADMIN):
        return rows
    if rights.key_id:
        # One that was stolen must not end the others.
        return rows.filter(pk=rights.key_id)
    if rights.person_id:
        return rows.filter(person_id=rights.person_id)
    return rows.none()


def count_with(used: TokensUsed) -> None:
    """What counts the tokens that keys use: the serving side says so at start-up."""
    global _tokens_used
    _tokens_used = used


def tokens_left(rows: Iterable[ApiKey]) -> dict[int, Left]:
    """What is left of the quotas of those keys that have any."""
    limited = [row for row in rows if row.tokens_per_day or row.tokens_per_month]
    if not limited or _tokens_used is None:
        return {}
    used = _tokens_used([row.pk for row in limited])
    return {
        row.pk: Left(*map(_rest, (row.tokens_per_day, row.tokens_per_month), used[row.pk]))
        for row in limited
    }


def _rest(quota: int | None, used: int) -> int | None:
    return max(0, quota - used) if quota else None


def may_make(rights: Rights) -> bool:
    """Whether somebody may make keys."""
    return not rights.key_id or rights.may(Scope.ADMIN)


def state_of(row: ApiKey) -> str:
    """valid, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    expired = row.expires_at is not None and row.expires_at <= timezone.now()
    return "expired" if expired else "valid"


def set_shared(key: str) -> None:
    """Make `key` the shared key, in place of the one before. Raises KeyRejected."""
    check(key)
    digest = digest_of(key)
    with transaction.atomic():
        if ApiKey.objects.filter(shared=False, digest=digest).exists():
            raise KeyRejected("This key is in use already. Choose another.")
        ApiKey.objects.filter(shared=True).exclude(digest=digest).delete()
        # A person may have chosen a short one: of that nothing is shown.
        ApiKey.objects.update_or_create(
            digest=digest,
            defaults={
                "name": SHARED_NAME,
                "shared": True,
                "revoked_at": None,
                "scopes": sorted(EVERYTHING),
            },
        )


def forget_shared() -> None:
    """Drop the shared key; it lets nobody in any more."""
    ApiKey.objects.filter(shared=True).delete()


def has_shared() -> bool:
    """Whether a shared key is set that still lets people in."""
    return ApiKey.objects.filter(shared=True, revoked_at=None).exists()


def check(key: str) -> None:
    """Raises KeyRejected for what no client could send in a header."""
    if not key:
        raise KeyRejected("An API key must not be empty.")
    if key != key.strip() or not key.isascii() or not key.isprintable():
        raise KeyRejected("An API key holds visible ASCII characters and no spaces around them.")
    if len(key) > 512:
        raise KeyRejected("An API key has at most 512 characters.")


def require(on: bool) -> None:
    """Whether clients must bring a key from now on."""
    row = ServerSettings.current()
    if row.require_api_key != on:
        row.require_api_key = on
        row.save(update_fields=["require_api_key"])


def revoke(row: ApiKey) -> None:
    """End a key; within a second it lets nobody in."""
    ApiKey.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=timezone.now())
