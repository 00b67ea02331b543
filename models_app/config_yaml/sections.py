"""Typed access to one mapping of a configuration. What nobody asked for is what is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.nodes import Entry, Items, Node, Scalar, Table
from models_app.config_yaml.scalars import is_null, plain

MAX_NUMBER: Final = 2**31 - 1
"""The largest number a database column of ours holds."""

_WHOLE_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,10}", re.ASCII)
_YES: Final = frozenset({"true", "yes", "on"})
_NO: Final = frozenset({"false", "no", "off"})


def spellings(key: str) -> tuple[str, ...]:
    """A key and its other spelling: cmdStop and cmd_stop."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), key)
    return tuple(dict.fromkeys((key, snake, camel)))


class Section:
    """A mapping being read. Every reader takes its key away, in either spelling of it.

    Messages name a key with `prefix` before it and `place`, such as "model x", behind it. A key
    without a value counts as absent.
    """

    def __init__(
        self, table: Table, warnings: list[tuple[int, str]], place: str = "", prefix: str = ""
    ) -> None:
        self.line = table.line
        self._place = place
        self._prefix = prefix
        self._warnings = warnings
        self._entries = dict(table.entries)
        self._children: dict[str, Section] = {}

    def has(self, key: str) -> bool:
        """Whether the key stands here, with a value or without."""
        return any(spelling in self._entries for spelling in spellings(key))

    def named(self, key: str) -> str:
        """How messages call a key of this mapping."""
        named = f"`{self._prefix}{key}`"
        return f"{named} of {self._place}" if self._place else named

    def warn(self, message: str, line: int | None = None) -> None:
        """Note something the person should know although the file is usable."""
        self._warnings.append((line or self.line, message))

    def text(self, key: str, default: str = "", limit: int | None = None) -> str:
        """A text of at most `limit` characters, `default` when absent or empty.

        A number or a truth value counts as the text it is written as.
        """
        node = self._take(key)
        return default if node is None else self._text(node, key, limit) or default

    def texts(self, key: str, limit: int | None = None) -> tuple[str, ...]:
        """A list of texts, none of them empty."""
        return tuple(text for text, _ in self.texts_with_lines(key, limit))

    def texts_with_lines(self, key: str, limit: int | None = None) -> list[tuple[str, int]]:
        """As `texts`, each with the line it stands in."""
        node = self._take(key)
        if node is None:
            return []
        if not isinstance(node, Items):
            raise ConfigError(
                f"{self.named(key)} must be a list. Begin each line with `- `.", node.line
            )
        texts = [(self._text(part, key, limit), part.line) for part in node.nodes]
        for text, line in texts:
            if not text.strip():
                raise ConfigError(f"{self.named(key)} holds an empty item. Remove it.", line)
        return texts

    def texts_or_tables(
        self, key: str, limit: int | None = None
    ) -> list[tuple[str, dict[str, Any]]]:
        """A list of names, or of mappings with an `id`: each name with what else it says.

        What else it says has no effect, and becomes a warning.
        """
        node = self._peek(key)
        if not isinstance(node, Items) or not any(isinstance(part, Table) for part in node.nodes):
            return [(text, {}) for text in self.texts(key, limit)]
        self._take(key)
        found: list[tuple[str, dict[str, Any]]] = []
        for part in node.nodes:
            if isinstance(part, Table):
                section = Section(part, self._warnings, self._place, f"{self._prefix}{key}.")
                name = section.text("id", limit=limit)
                rest = section.rest()
            else:
                name, rest = self._text(part, key, limit), {}
            if not name.strip():
                raise ConfigError(f"{self.named(key)} holds an item without an id.", part.line)
            found.append((name, rest))
        return found

    def words(self, key: str, limit: int | None = None) -> tuple[str, ...]:
        """Texts given as a list, or as one text with commas between them; each only once."""
        node = self._peek(key)
        text = ",".join(self.texts(key)) if isinstance(node, Items) else self.text(key)
        if node is not None and limit is not None and len(text) > limit:
            raise ConfigError(f"{self.named(key)} is longer than {limit} characters.", node.line)
        return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        node = self._take(key)
        if node is None:
            return default
        word = node.text.lower() if isinstance(node, Scalar) else ""
        if word not in _YES | _NO:
            raise ConfigError(f"{self.named(key)} must be true or false{_found(node)}.", node.line)
        return word in _YES

    def number(self, key: str, lowest: int = 0, highest: int = MAX_NUMBER) -> int | None:
        """A whole number from `lowest` to `highest`; None when absent."""
        node = self._take(key)
        if node is None:
            return None
        match = _WHOLE_NUMBER.fullmatch(node.text) if isinstance(node, Scalar) else None
        if match is None or not lowest <= int(match[0]) <= highest:
            raise ConfigError(
                f"{self.named(key)} must be a whole number from {lowest} to {highest}"
                f"{_found(node)}.",
                node.line,
            )
        return int(match[0])

    def clamped(self, key: str, lowest: int, highest: int, default: int) -> int:
        """A whole number, taken as the nearest one from `lowest` to `highest`."""
        node = self._peek(key)
        number = self.number(key, -MAX_NUMBER)
        if node is None or number is None:
            return default
        bounded = min(max(number, lowest), highest)
        if bounded != number:
            self.warn(
                f"{self.named(key)} is taken as {bounded}; it goes from {lowest} to {highest}.",
                node.line,
            )
        return bounded

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of a few words, upper or lower case; any other counts as `default`."""
        node = self._peek(key)
        word = self.text(key, default).lower()
        if node is None or word in choices:
            return word
        self.warn(
            f'{self.named(key)} knows {", ".join(choices)}; "{word}" is taken as {default}.',
            node.line,
        )
        return default

    def section(self, key: str) -> Section:
        """The mapping below a key; an empty one when absent. Its unknown keys stay with us."""
        node = self._take(key)
        if node is None:
            table = Table(self.line, {})
        elif isinstance(node, Table):
            table = node
        else:
            raise ConfigError(
                f"{self.named(key)} must be a mapping of `key: value` lines.", node.line
            )
        prefix = f"{self._prefix}{key}."
        self._children[key] = Section(table, self._warnings, self._place, prefix)
        return self._children[key]

    def sections(self, noun: str) -> Iterator[tuple[str, int, Section]]:
        """Every mapping below this one: its name and line. Messages call it a `noun`."""
        for name, entry in self._emptied():
            if not name.strip():
                raise ConfigError(
                    f"A {noun} has no name here. Write one before the colon.", entry.line
                )
            node = Table(entry.line, {}) if is_null(entry.node) else entry.node
            place = f'{noun} "{name}"'
            if not isinstance(node, Table):
                raise ConfigError(
                    f"The {place} must be a mapping of `key: value` lines.", entry.line
                )
            self._children[name] = Section(node, self._warnings, place)
            yield name, entry.line, self._children[name]

    def adopt(self, other: Section) -> None:
        """Keep what is unknown in the sections of `other` as if they stood here."""
        self._children |= other._children
        other._children = {}

    def discard(self, name: str) -> int | None:
        """Drop an entry unread. Its line, or None when there is no such entry."""
        entry = self._entries.pop(name, None)
        return entry.line if entry else None

    def all_texts(self) -> Iterator[tuple[str, int, str]]:
        """Every name here with its line and its text."""
        for name, entry in self._emptied():
            yield name, entry.line, self._text(entry.node, name, None)

    def _emptied(self) -> list[tuple[str, Entry]]:
        entries, self._entries = list(self._entries.items()), {}
        return entries

    def values(self, key: str) -> dict[str, Any]:
        """The mapping below a key as plain values; empty when absent."""
        node = self._take(key)
        if node is None:
            return {}
        if not isinstance(node, Table):
            raise ConfigError(
                f"{self.named(key)} must be a mapping of `key: value` lines.", node.line
            )
        values: dict[str, Any] = plain(node)
        return values

    def rest(self) -> dict[str, Any]:
        """What nobody asked for, here and in the sections below; each key becomes a warning.

        Reading it takes it away, as with everything else.
        """
        kept = {}
        for key, entry in self._emptied():
            self.warn(f"{self.named(key)} has no effect here. It is kept.", entry.line)
            kept[key] = plain(entry.node)
        for key, child in self._children.items():
            if below := child.rest():
                kept[key] = below
        return kept

    def _peek(self, key: str) -> Node | None:
        present = [spelling for spelling in spellings(key) if spelling in self._entries]
        if len(present) > 1:
            line = self._entries[present[1]].line
            raise ConfigError(f"`{present[0]}` and `{present[1]}` are the same. Keep one.", line)
        return self._entries[present[0]].node if present else None

    def _take(self, key: str) -> Node | None:
        node = self._peek(key)
        for spelling in spellings(key):
            self._entries.pop(spelling, None)
        return None if node is None or is_null(node) else node

    def _text(self, node: Node, key: str, limit: int | None) -> str:
        if not isinstance(node, Scalar):
            raise ConfigError(
                f"{self.named(key)} must be text, not a list or a mapping.", node.line
            )
        if limit is not None and len(node.text) > limit:
            raise ConfigError(f"{self.named(key)} is longer than {limit} characters.", node.line)
        return "" if is_null(node) else node.text


def _found(node: Node) -> str:
    return f', not "{node.text}"' if isinstance(node, Scalar) else ", not a list or a mapping"
