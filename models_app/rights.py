"""Who may do what (pure): scopes, the roles that grant them, and the rights of one request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What somebody may do. None of them includes another."""

    INFERENCE = "inference"
    """Use models, see and make keys of one's own, see one's own usage."""
    MANAGE = "manage"
    """Models, folders and downloads; load and unload."""
    ADMIN = "admin"
    """Settings, commands of engines, people, everybody's keys, the audit log."""


class Role(StrEnum):
    """What a person is here."""

    ADMINISTRATOR = "administrator"
    CURATOR = "curator"
    USER = "user"

    @property
    def with_article(self) -> str:
        return f"{'an' if self is Role.ADMINISTRATOR else 'a'} {self}"


EVERYTHING: Final = frozenset(Scope)

SCOPES_OF: Final = {
    Role.ADMINISTRATOR: EVERYTHING,
    Role.CURATOR: frozenset({Scope.INFERENCE, Scope.MANAGE}),
    Role.USER: frozenset({Scope.INFERENCE}),
}

_WHO_GIVES: Final = {
    Scope.INFERENCE: "An administrator can give it to your key",
    Scope.MANAGE: "Curators and administrators have it",
    Scope.ADMIN: "Administrators have it",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """The only models that may be used: some by their ids, and all of some groups."""

    models: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def holds(self, model: str, group: str | None) -> bool:
        """Whether a model that is in `group` is one of them."""
        return model in self.models or group in self.groups


Bounds = tuple[Bound, ...]
"""A model may be used that is within each; none: all may."""


def bounds_of(models: Iterable[str], groups: Iterable[str]) -> Bounds:
    """What the columns of a key or a person say; nothing in both of them limits nothing."""
    bound = Bound(frozenset(models), frozenset(groups))
    return (bound,) if bound.models or bound.groups else ()


@dataclass(frozen=True, slots=True)
class Rights:
    """Who sends a request, and what for it may be used."""

    person_id: int = 0
    """0: nobody who has an account, such as whoever sits at this machine."""
    name: str = ""
    """For people and logs: the person's name, or the key's."""
    scopes: frozenset[Scope] = frozenset()
    bounds: Bounds = ()
    """What the key is limited to, and what its person is."""
    key_id: int = 0
    """The key that was sent; 0 without one."""

    def may(self, scope: Scope) -> bool:
        """Whether that scope was granted."""
        return scope in self.scopes

    @property
    def is_limited(self) -> bool:
        """Whether some models are out of reach."""
        return bool(self.bounds)

    @property
    def manages_all(self) -> bool:
        """Whether all models are theirs to look after, with what others ask of them.

        Administrators decide about limits: theirs bind what they use, not what they look after.
        """
        return self.may(Scope.MANAGE) and (not self.bounds or self.may(Scope.ADMIN))

    def may_use(self, model: str, group: str | None = None) -> bool:
        """Whether a model, by its id and its group, is within reach."""
        return all(bound.holds(model, group) for bound in self.bounds)


NOBODY: Final = Rights()

LOCAL_NAME: Final = "local"
"""Who acts while nobody has an account; it can never be signed in to."""

LOCAL: Final = Rights(0, LOCAL_NAME, EVERYTHING)


def of_person(person_id: int, name: str, role: Role, bounds: Bounds = ()) -> Rights:
    """What somebody may who has signed in."""
    return Rights(person_id, name, SCOPES_OF[role], bounds)


def lacking(scope: Scope) -> str:
    """What is said to somebody who lacks a scope, and who can help."""
    return (
        f"This needs the right '{scope}', which you do not have. {_WHO_GIVES[scope]}: ask an "
        "administrator of this server."
    )
