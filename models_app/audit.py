"""The audit log: who did what on this server, and what it changed. Written, never changed.

What changed is told by two looks at everything that people choose, one before and one after, so
that nothing can be changed past it. Secrets are hidden before they are compared with nothing left.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import DatabaseError
from django.utils import timezone

from models_app import people, person_limits, snapshot
from models_app.models import ApiKey, AuditEntry, EngineInstall
from models_app.models.limited import LIMITS
from models_app.rights import LOCAL_NAME, NOBODY, Rights
from models_app.secrecy import hidden

logger = logging.getLogger(__name__)

_LONGEST: Final = 255
_KEY_COLUMNS: Final = (
    "name",
    "person__username",
    "expires_at",
    "revoked_at",
    "scopes",
    *LIMITS,
    "priority",
    "queue_share",
)

State = Mapping[str, Mapping[str, Any]]
"""Everything that people choose: by kind, then by name."""


def state() -> State:
    """What people chose, as it is now, without any secret."""
    return {**hidden(snapshot.take()), "keys": _keys(), "people": _people(), "engines": _engines()}


def note(
    kind: str,
    what: str,
    who: Rights = NOBODY,
    *,
    key_id: int = 0,
    address: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down one act. A full disk must not make it look as if the act had failed."""
    try:
        AuditEntry.objects.create(
            at=timezone.now(),
            who=who.name[:_LONGEST],
            person_id=who.person_id,
            key_id=key_id,
            address=address[:64],
            kind=kind[:32],
            what=what[:_LONGEST],
            before=before or {},
            after=after or {},
        )
    except DatabaseError as error:
        logger.error("The audit log could not be written: %s did %s (%s)", who.name, what, error)


def note_changes(
    before: State, what: str, who: Rights = NOBODY, *, key_id: int = 0, address: str = ""
) -> bool:
    """Write down what became different since `before` was looked at; whether anything did."""
    changes = changed(before, state())
    for kind, was, now in changes:
        note(kind, what, who, key_id=key_id, address=address, before=was, after=now)
    return bool(changes)


def changed(before: State, after: State) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What differs: kind, then what it was and what it is, down to the single value."""
    found = []
    for kind in after:
        was, now = _difference(before.get(kind, {}), after[kind])
        if was or now:
            found.append((kind, was, now))
    return found


def _difference(before: Any, after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            one, other = _difference(one, other)
        if name in before:
            was[name] = one
        if name in after:
            now[name] = other
    return was, now


def _keys() -> dict[str, Any]:
    rows = ApiKey.objects.order_by("pk").values_list("pk", "prefix", *_KEY_COLUMNS)
    return {
        f"{pk} {prefix}".strip(): {
            name.removesuffix("__username"): _plain(value)
            for name, value in zip(_KEY_COLUMNS, values, strict=True)
        }
        for pk, prefix, *values in rows
    }


def _people() -> dict[str, Any]:
    users = User.objects.exclude(username=LOCAL_NAME).select_related("limits").order_by("pk")
    return {user.username: _person(user) for user in users}


def _person(user: User) -> dict[str, Any]:
    told: dict[str, Any] = {"role": str(people.role_of(user)), "active": user.is_active}
    if limits := person_limits.chosen(person_limits.of(user)):
        told["limits"] = limits
    return told


def _engines() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with suppress(DatabaseError):
        for row in EngineInstall.objects.order_by("pk"):
            found[str(row)] = {"status": str(row.status)}
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
