"""Secrets at rest: sealed under a key that is derived from the server's secret key.

A copy of the database or of a file is worth nothing without the secret key's file. What was kept
before sealing existed opens as it is, and is sealed when it is next written.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.functions import Cast

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

logger = logging.getLogger(__name__)

_MARK: Final = "sealed:"
_PURPOSE: Final = b"claracore: secrets at rest"


def seal(secret: str) -> str:
    """The secret as it may be stored; an empty one stays empty."""
    return _MARK + _box().encrypt(secret.encode()).decode() if secret else ""


def unseal(stored: str) -> str:
    """The secret in what `seal` gave. Empty, with a word in the log, when no key of ours opens it.

    A mistake there must not take the pages away on which a new secret is entered.
    """
    from cryptography.fernet import InvalidToken

    if not stored.startswith(_MARK):
        return stored
    try:
        return _box().decrypt(stored.removeprefix(_MARK)).decode()
    except InvalidToken:
        logger.error(
            "A stored secret was sealed under another secret key and cannot be opened. Enter it "
            "again, or put the former key back (CLARACORE_FORMER_SECRET_KEY)."
        )
        return ""


class SealedField(models.TextField):  # type: ignore[type-arg]
    """A text that is a secret: sealed in the database, itself in Python. It cannot be searched."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value and unseal(value)

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return seal(text) if text else text


def _box() -> MultiFernet:
    """What seals under the current key, and opens under it and the former ones."""
    return _box_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _box_of(keys: tuple[str, ...]) -> MultiFernet:
    # Loading the library takes a twentieth of a second, and most starts never need it.
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def box(key: str) -> Fernet:
        derived = HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode())
        return Fernet(base64.urlsafe_b64encode(derived))

    return MultiFernet([box(key) for key in keys])


def seal_again() -> int:
    """Seal every stored secret under the current key; returns how many there are.

    What no key opens is left as it is.
    """
    return sum(_seal_column(model, field) for model, field in _columns())


def _columns() -> Iterator[tuple[type[models.Model], str]]:
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, SealedField):
                yield model, field.name


def _seal_column(model: type[models.Model], field: str) -> int:
    rows = model._default_manager.annotate(stored=Cast(field, models.TextField()))
    count = 0
    for key, stored in rows.exclude(stored="").values_list("pk", "stored").iterator():
        if secret := unseal(stored):
            # Unless it was changed meanwhile.
            rows.filter(pk=key, stored=stored).update(**{field: secret})
            count += 1
    return count
