"""Two changes of one configuration brought together (pure).

A person edited config.yaml, and meanwhile the database went on. What only one of them touched is
taken from it; what both changed in different ways is a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

from models_app.document import ConfigDocument, GroupEntry, ModelEntry

E = TypeVar("E", ModelEntry, GroupEntry)

_GONE: Final = object()
_TABLES: Final = ("models", "groups", "macros", "virtual", "kept_keys")


@dataclass(frozen=True, slots=True)
class Merged:
    """Both changes in one document. `conflicts` says where the edit had to win, in words."""

    document: ConfigDocument
    conflicts: tuple[str, ...] = ()


def merge(base: ConfigDocument, edit: ConfigDocument, now: ConfigDocument) -> Merged:
    """`now`, with what `edit` changed of `base`. Where both changed the same, the edit wins."""
    base, edit, now = normal(base), normal(edit), normal(now)
    conflicts: list[str] = []
    values: dict[str, Any] = {
        "models": _entries(base.models, edit.models, now.models, "model", conflicts),
        "groups": _entries(base.groups, edit.groups, now.groups, "group", conflicts),
        "macros": _table(base.macros, edit.macros, now.macros, "macro", conflicts),
        "virtual": _table(base.virtual, edit.virtual, now.virtual, "virtual model", conflicts),
        "kept_keys": _table(base.kept_keys, edit.kept_keys, now.kept_keys, "key", conflicts),
    }
    for part in fields(ConfigDocument):
        if part.name not in _TABLES:
            three = (getattr(base, part.name), getattr(edit, part.name), getattr(now, part.name))
            values[part.name] = _pick(*three, f"setting {part.name}", conflicts)
    return Merged(ConfigDocument(**values), tuple(conflicts))


def normal(document: ConfigDocument) -> ConfigDocument:
    """The document with aliases and members in the order the database gives them."""
    return replace(
        document,
        models={
            name: replace(entry, aliases=tuple(sorted(entry.aliases)))
            for name, entry in document.models.items()
        },
        groups={
            name: replace(entry, members=tuple(sorted(entry.members)))
            for name, entry in document.groups.items()
        },
    )


def _entries(
    base: Mapping[str, E],
    edit: Mapping[str, E],
    now: Mapping[str, E],
    noun: str,
    conflicts: list[str],
) -> dict[str, E]:
    def pick(name: str, before: Any, theirs: Any, ours: Any) -> Any:
        if _GONE in (before, theirs, ours):
            return _pick(before, theirs, ours, f"{noun} {name}", conflicts)
        return _fields(before, theirs, ours, f"{noun} {name}", conflicts)

    return _each(base, edit, now, pick)


def _fields(before: E, theirs: E, ours: E, what: str, conflicts: list[str]) -> E:
    if theirs == before:
        return ours
    values = {
        part.name: _pick(
            getattr(before, part.name),
            getattr(theirs, part.name),
            getattr(ours, part.name),
            f"{what}: {part.name}",
            conflicts,
        )
        for part in fields(before)
    }
    return replace(ours, **values)


def _table(
    base: Mapping[str, Any],
    edit: Mapping[str, Any],
    now: Mapping[str, Any],
    noun: str,
    conflicts: list[str],
) -> dict[str, Any]:
    def pick(name: str, before: Any, theirs: Any, ours: Any) -> Any:
        return _pick(before, theirs, ours, f"{noun} {name}", conflicts)

    return _each(base, edit, now, pick)


def _each(
    base: Mapping[str, Any],
    edit: Mapping[str, Any],
    now: Mapping[str, Any],
    pick: Callable[[str, Any, Any, Any], Any],
) -> dict[str, Any]:
    names: Iterable[str] = sorted(base.keys() | edit.keys() | now.keys())
    found = {
        name: pick(name, base.get(name, _GONE), edit.get(name, _GONE), now.get(name, _GONE))
        for name in names
    }
    return {name: value for name, value in found.items() if value is not _GONE}


def _pick(before: Any, theirs: Any, ours: Any, what: str, conflicts: list[str]) -> Any:
    if theirs == before:
        return ours
    if ours not in (before, theirs):
        conflicts.append(f"{what} was changed there and here")
    return theirs
