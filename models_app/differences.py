"""What differs between two configurations: as data, in words, and line by line (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import unified_diff
from typing import Any, Final

from models_app.document import ConfigDocument, GroupEntry, ModelEntry

LONGEST_VALUE: Final = 60
MOST_NAMES: Final = 8
MOST_LINES: Final = 40

_TABLES: Final = frozenset({"models", "groups", "macros", "virtual", "kept_keys"})


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. None stands for none."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        """For example: ttl 60 -> 300."""
        return f"{self.name} {_shown(self.old)} -> {_shown(self.new)}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in one kind of thing: names that came and went, and changes by name."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self, noun: str) -> list[str]:
        """In words: models added: a, b; model c: ttl 60 -> 300."""
        lines = []
        if self.added:
            lines.append(f"{noun}s added: {listed(self.added)}")
        if self.removed:
            lines.append(f"{noun}s removed: {listed(self.removed)}")
        for name, changes in self.changed.items():
            lines.append(f"{noun} {name}: {', '.join(str(change) for change in changes)}")
        return lines


def of_tables(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Between two mappings of names to mappings of values."""
    both = sorted(before.keys() & after.keys())
    changed = {name: of_values(before[name], after[name]) for name in both}
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed={name: changes for name, changes in changed.items() if changes},
    )


def of_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Between two mappings of names to plain values."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def of_models(before: ConfigDocument, after: ConfigDocument) -> Difference:
    """Between the models of two documents."""
    return of_tables(_as_tables(before.models), _as_tables(after.models))


def of_groups(before: ConfigDocument, after: ConfigDocument) -> Difference:
    """Between the groups of two documents."""
    return of_tables(_as_tables(before.groups), _as_tables(after.groups))


def of_settings(before: ConfigDocument, after: ConfigDocument) -> tuple[Change, ...]:
    """Between everything else in two documents; macros and kept keys one by one."""
    return of_values(_settings(before), _settings(after))


def words(before: ConfigDocument, after: ConfigDocument) -> list[str]:
    """What differs between two documents, a line a thing."""
    return shortened(
        [
            *of_models(before, after).lines("model"),
            *of_groups(before, after).lines("group"),
            *(f"setting {change}" for change in of_settings(before, after)),
        ]
    )


def words_of_choices(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two snapshots of choices, a line a thing."""
    return shortened(
        [
            *of_tables(before["models"], after["models"]).lines("model"),
            *of_tables(before["groups"], after["groups"]).lines("group"),
            *of_tables(before.get("virtual", {}), after.get("virtual", {})).lines("virtual model"),
            *of_tables(before["folders"], after["folders"]).lines("folder"),
            *(f"setting {change}" for change in of_values(before["settings"], after["settings"])),
        ]
    )


def lines(before: str, after: str, name: str) -> str:
    """The difference of two texts as `diff -u` shows it; empty when there is none."""
    return "\n".join(
        unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{name} before",
            f"{name} after",
            lineterm="",
        )
    )


def listed(names: Iterable[str]) -> str:
    """Names with commas between them, the first few of many."""
    names = list(names)
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def shortened(found: list[str]) -> list[str]:
    """The first lines of many."""
    more = len(found) - MOST_LINES
    return [*found[:MOST_LINES], f"and {more} more changes"] if more > 0 else found


def _as_tables(entries: Mapping[str, ModelEntry] | Mapping[str, GroupEntry]) -> dict[str, Any]:
    return {
        name: {part.name: getattr(entry, part.name) for part in fields(entry) if part.compare}
        for name, entry in entries.items()
    }


def _settings(document: ConfigDocument) -> dict[str, Any]:
    values = {
        part.name: getattr(document, part.name)
        for part in fields(document)
        if part.name not in _TABLES
    }
    macros = {f"macro {name}": text for name, text in document.macros.items()}
    virtual = {f"virtual model {name}": ids for name, ids in document.virtual.items()}
    return {**values, **macros, **virtual, **document.kept_keys}


def _shown(value: Any) -> str:
    if value is None or value in ("", (), [], {}):
        return "none"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
