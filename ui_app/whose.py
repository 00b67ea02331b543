"""Whose requests somebody may see, and what those who sent them are called."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from models_app.models import ApiKey
from proxy_app.keys import STRANGER, Caller


def caller_of(request: HttpRequest) -> Caller:
    """Who asks for a page."""
    caller: Caller = getattr(request, "caller", STRANGER)
    return caller


def sees_all(caller: Caller) -> bool:
    """Whether somebody sees what others ask for."""
    return caller.rights.manages_all


def requests(caller: Caller) -> Q:
    """The rows of requests, or of their sums, that somebody may see."""
    if sees_all(caller):
        return Q()
    if caller.rights.person_id:
        return Q(person_id=caller.rights.person_id)
    return Q(key_id=caller.key_id) if caller.key_id else Q(pk__in=())


def may_see(caller: Caller, key_id: int, person_id: int) -> bool:
    """Whether somebody may see, and end, a request that was made with a key or by a person."""
    if sees_all(caller):
        return True
    if caller.rights.person_id:
        return person_id == caller.rights.person_id
    return bool(caller.key_id) and key_id == caller.key_id


class Names:
    """The names of keys and people, also of revoked and inactive ones."""

    def __init__(self, keys: Iterable[int], people: Iterable[int]) -> None:
        self._keys = dict(ApiKey.objects.filter(pk__in=set(keys)).values_list("pk", "name"))
        self._people = dict(User.objects.filter(pk__in=set(people)).values_list("pk", "username"))

    def of(self, key_id: int, person_id: int) -> str:
        """Whom a request is of: the person, the key, or both; empty for nobody in particular."""
        parts = []
        if person_id:
            parts.append(self._people.get(person_id) or _("a person who is gone"))
        if key_id:
            parts.append(self._keys.get(key_id) or _("a key that is gone"))
        return ", ".join(parts)
