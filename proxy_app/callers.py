"""A caller on its way to another process (pure)."""

from __future__ import annotations

from typing import Any

from models_app.rights import Bound, Rights, Scope
from proxy_app.keys import LOCAL, STRANGER, Caller


def as_told(caller: Caller) -> list[Any]:
    """Who calls, in plain values. What it has used stays with the serving process."""
    rights = caller.rights
    return [
        caller.name,
        caller.key_id,
        rights.person_id,
        rights.name,
        sorted(rights.scopes),
        [[sorted(bound.models), sorted(bound.groups)] for bound in rights.bounds],
    ]


def as_heard(told: list[Any]) -> Caller:
    """The caller that `as_told` told of."""
    name, key_id, person_id, own_name, scopes, bounds = told
    rights = Rights(
        person_id,
        own_name,
        frozenset(Scope(scope) for scope in scopes),
        tuple(Bound(frozenset(models), frozenset(groups)) for models, groups in bounds),
        key_id or 0,
    )
    caller = Caller(name, key_id, rights)
    for known in (LOCAL, STRANGER):
        if caller == known:
            return known
    return caller
