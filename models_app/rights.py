"""Who may do what (pure): scopes, the roles that grant them, and the rights of one request."""

from __future__ import annotations

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
class Rights:
    """Who sends a request, and what for it may be used."""

    person_id: int = 0
    """0: nobody who has an account, such as whoever sits at this machine."""
    name: str = ""
    """For people and logs: the person's name, or the key's."""
    scopes: frozenset[Scope] = frozenset()
    models: frozenset[str] = frozenset()
    """Ids of models that a key is limited to; with no groups either: it is not."""
    groups: frozenset[str] = frozenset()
    """Groups of models that a key is limited to."""
    key_id: int = 0
    """The key that was sent; 0 without one."""

    def may(self, scope: Scope) -> bool:
        """Whether that scope was granted."""
        return scope in self.scopes

    @property
    def is_limited(self) -> bool:
        """Whether some models are out of reach."""
        return bool(self.models or self.groups)


NOBODY: Final = Rights()

LOCAL_NAME: Final = "local"
"""Who acts while nobody has an account; it can never be signed in to."""

LOCAL: Final = Rights(0, LOCAL_NAME, EVERYTHING)


def of_person(person_id: int, name: str, role: Role) -> Rights:
    """What somebody may who has signed in."""
    return Rights(person_id, name, SCOPES_OF[role])


def lacking(scope: Scope) -> str:
    """What is said to somebody who lacks a scope, and who can help."""
    return (
        f"This needs the right '{scope}', which you do not have. {_WHO_GIVES[scope]}: ask an "
        "administrator of this server."
    )
