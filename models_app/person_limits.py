"""What a person is limited to: signed in, and with every key of theirs together.

Everybody makes keys for themselves, and a limit of one key would limit nobody who makes another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist

from models_app import rights
from models_app.models import PersonLimits
from models_app.models.limited import LIMITS
from models_app.rights import Bounds


def of(user: User) -> PersonLimits:
    """The limits of a person; none of them set where nobody has set any."""
    try:
        found: PersonLimits = user.limits
    except ObjectDoesNotExist:
        return PersonLimits(person=user)
    return found


def bounds_of(user: User) -> Bounds:
    """The only models that a person may use."""
    row = of(user)
    return rights.bounds_of(row.allowed_models, row.allowed_groups)


def set_for(user: User, choices: Mapping[str, Any]) -> None:
    """Change a person's limits, by the names of the columns; what is left out stays."""
    row = of(user)
    for name, value in choices.items():
        setattr(row, name, value)
    keep(row)


def keep(row: PersonLimits) -> None:
    """Save limits, or remove them when none of them is set."""
    if any(getattr(row, name) for name in LIMITS):
        row.save()
    elif not row._state.adding:
        row.delete()


def chosen(row: PersonLimits) -> dict[str, Any]:
    """Those limits that are set."""
    return {name: value for name in LIMITS if (value := getattr(row, name))}
