"""What each role may see and do in the admin, in Django's own permissions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User

from models_app import people
from models_app.models import PersonLimits
from models_app.rights import LOCAL_NAME, Role


def _named(app: str, tables: Iterable[str], acts: Iterable[str]) -> set[str]:
    return {f"{app}.{act}_{table}" for table in tables for act in acts}


_ALL: Final = ("view", "add", "change", "delete")
_LOOK: Final = ("view",)

_OWN: Final = frozenset(
    {
        *_named("models_app", ["apikey"], ["view", "add", "change"]),
        *_named("proxy_app", ["usagerow", "usagehour", "usageday"], _LOOK),
    }
)
"""Of these everybody sees their own rows only."""

PERMISSIONS: Final = {
    Role.ADMINISTRATOR: _OWN,  # Django lets a superuser do everything.
    Role.CURATOR: _OWN
    | _named(
        "models_app",
        ["modelfolder", "servedmodel", "modelalias", "modelgroup", "virtualmodel"],
        _ALL,
    )
    | _named("models_app", ["gguffile"], ["view", "change"])
    | _named(
        "models_app",
        ["scanrun", "loadrecord", "machinereport", "node", "enginebuild", "engineinstall"],
        _LOOK,
    )
    | _named("downloads_app", ["download", "downloadfile", "downloadsettings"], _ALL),
    Role.USER: _OWN,
}


_LIMITS: Final = PersonLimits._meta.db_table
_ACCOUNT: Final = (
    f"SELECT account.*, {_LIMITS}.person_id AS limited FROM {User._meta.db_table} AS account "
    f"LEFT JOIN {_LIMITS} ON {_LIMITS}.person_id = account.id WHERE account.id = %s"
)


class RoleBackend(ModelBackend):
    """Passwords as Django checks them, permissions by role."""

    def get_user(self, user_id: Any) -> User | None:
        """With the limits, which take a query of their own where there are any.

        Every page asks for both, and Django takes longer to build the query than to run it.
        """
        user = next(iter(User.objects.raw(_ACCOUNT, [user_id])), None)
        if user is None:
            return None
        is_limited = vars(user).pop("limited") is not None
        limits = PersonLimits.objects.filter(pk=user_id).first() if is_limited else None
        User._meta.get_field("limits").set_cached_value(user, limits)
        return user if self.user_can_authenticate(user) else None

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        given = super().get_all_permissions(user_obj, obj)
        if not isinstance(user_obj, User) or not user_obj.is_active or obj is not None:
            return given
        if user_obj.get_username() == LOCAL_NAME:
            return given
        return given | PERMISSIONS[people.role_of(user_obj)]
