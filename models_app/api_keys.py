"""API keys: made, replaced, revoked. Looking them up is the serving side's (proxy_app/keys.py).

A key is kept as an HMAC under the server's secret, so that a copy of the database alone neither
lets anybody in nor tells whether a guess is right.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app.models import ApiKey, ServerSettings

BEGINNING = "sk-"
"""What clients expect keys to begin with; some check."""

KEY_BYTES = 24
SHOWN = 8
"""Characters of a made key that are kept to tell it from others; five of them are random."""

SHARED_NAME = "Shared key"


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


def create(name: str, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which nobody can read again."""
    key = BEGINNING + secrets.token_urlsafe(KEY_BYTES)
    row = ApiKey.objects.create(
        name=name, prefix=key[:SHOWN], digest=digest_of(key), expires_at=expires_at
    )
    return row, key


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
            digest=digest, defaults={"name": SHARED_NAME, "shared": True, "revoked_at": None}
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
