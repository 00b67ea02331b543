"""YAML text -> a tree whose every part knows its line, within bounds a small machine can bear.

Built from the parser's events rather than by its loader, because the loader lets a later key
silently replace an earlier one, loses line numbers, and turns `on`, `1:30` and `2024-01-01` into
something other than what stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import yaml

from models_app.config_yaml import library
from models_app.config_yaml.errors import ConfigError

MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest configuration that is read; five thousand models take about 3 MB."""
MAX_EXPANDED: Final = 2 * MAX_BYTES
"""Characters after anchors are followed, with VALUE_WEIGHT for every value on top."""
VALUE_WEIGHT: Final = 32
MAX_DEPTH: Final = 48

_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_OTHER_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "map", "null", "seq")
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it is written. `quoted` tells that it is text, whatever it looks like."""

    line: int
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with text as keys."""

    line: int
    entries: Mapping[str, Entry]


class Entry(NamedTuple):
    """A value in a table, with the line of its key."""

    line: int
    node: Node


Node: TypeAlias = Scalar | Items | Table


class _Weighed(NamedTuple):
    node: Node
    weight: int
    height: int


def compose(text: str, loader: Any = library.Loader) -> Table:
    """The top-level mapping of a configuration; an empty text is an empty mapping.

    Raises ConfigError for everything that is not one sound, bounded YAML document.
    """
    check_size(text)
    try:
        root = _Composer(iter(yaml.parse(text, Loader=loader))).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"This is not YAML: {error}") from error
    if root is None or (isinstance(root, Scalar) and not root.text):
        return Table(1, {})
    if not isinstance(root, Table):
        raise ConfigError("The configuration must be a mapping such as `models: …`.", root.line)
    return root


def check_size(text: str | bytes) -> None:
    """Raise ConfigError when a text, or the bytes of one, is larger than MAX_BYTES."""
    if len(text) <= MAX_BYTES and (isinstance(text, bytes) or len(_encoded(text)) <= MAX_BYTES):
        return
    raise ConfigError(
        f"The configuration is larger than {MAX_BYTES // 1024**2} MiB. "
        "Split it, or take out what does not belong there."
    )


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise ConfigError("Half of a character stands here. Remove it.", line) from error


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else None
    problem = error.problem or error.context or "something is wrong"
    hint = ""
    if "cannot start any token" in problem and line is not None and "\t" in _line_at(text, line):
        hint = " Indent with spaces instead of tabs."
    elif "mapping values are not allowed" in problem:
        hint = " Put quotes around values that hold `: `, and check the indentation."
    return ConfigError(
        f"This is not valid YAML: {problem}.{hint}", None if line is None else line + 1
    )


def _line_at(text: str, index: int) -> str:
    lines = text.splitlines()
    return lines[index] if index < len(lines) else ""


class _Composer:
    """Turns the events of one document into nodes. Holds what anchors stand for."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Weighed | None] = {}
        self._weight = 0

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    _refuse(event, "A second document starts here. Keep one and remove `---`.")
                root = self._node(next(self._events), 0).node
        return root

    def _node(self, event: Any, depth: int) -> _Weighed:
        made = self._aliased(event) if isinstance(event, yaml.AliasEvent) else None
        if depth + (made.height if made else 0) > MAX_DEPTH:
            _refuse(event, f"This is nested more than {MAX_DEPTH} levels deep.")
        return made or self._made(event, depth)

    def _made(self, event: Any, depth: int) -> _Weighed:
        if event.tag is not None and event.tag not in _TEXT_TAGS | _OTHER_TAGS:
            _refuse(event, f"The tag {event.tag} is not supported. Write the value without it.")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before = self._weight
        node, height = self._content(event, depth)
        made = _Weighed(node, self._weight - before, height)
        if event.anchor is not None:
            self._anchors[event.anchor] = made
        return made

    def _content(self, event: Any, depth: int) -> tuple[Node, int]:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event), 0
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(event, depth)
        return self._table(event, depth)

    def _aliased(self, event: Any) -> _Weighed:
        if event.anchor not in self._anchors:
            _refuse(event, f"*{event.anchor} is used but &{event.anchor} stands nowhere above.")
        made = self._anchors[event.anchor]
        if made is None:
            _refuse(event, f"*{event.anchor} refers to something it is itself a part of.")
        self._add(made.weight, event)
        return made

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        self._add(VALUE_WEIGHT + len(text), event)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            _refuse(
                event, "This text holds a character that cannot be stored (\\0 or half of one)."
            )
        return Scalar(_line(event), text, bool(event.style) or event.tag in _TEXT_TAGS)

    def _items(self, event: Any, depth: int) -> tuple[Items, int]:
        self._add(VALUE_WEIGHT, event)
        parts = []
        while not isinstance(child := next(self._events), yaml.SequenceEndEvent):
            parts.append(self._node(child, depth + 1))
        height = 1 + max((part.height for part in parts), default=0)
        return Items(_line(event), tuple(part.node for part in parts)), height

    def _table(self, event: Any, depth: int) -> tuple[Table, int]:
        self._add(VALUE_WEIGHT, event)
        entries: dict[str, Entry] = {}
        merged: list[Table] = []
        height = 0
        while not isinstance(key_event := next(self._events), yaml.MappingEndEvent):
            key = self._node(key_event, depth + 1).node
            value = self._node(next(self._events), depth + 1)
            height = max(height, value.height)
            if not isinstance(key, Scalar):
                _refuse(key_event, "A key must be text, not a list or a mapping.")
            if key.text == "<<" and not key.quoted:
                merged += _merged_tables(value.node)
            elif key.text in entries:
                first = entries[key.text].line
                _refuse(key_event, f"`{key.text}` stands here twice, first in line {first}.")
            else:
                entries[key.text] = Entry(_line(key_event), value.node)
        for table in merged:
            entries = {**table.entries, **entries}
        return Table(_line(event), entries), 1 + height

    def _add(self, weight: int, event: Any) -> None:
        self._weight += weight
        if self._weight > MAX_EXPANDED:
            _refuse(
                event,
                "From here on there are too many values. An anchor's count each time it is used.",
            )


def _merged_tables(node: Node) -> list[Table]:
    """What `<<:` brings in; of two tables the first wins, so it comes first."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    tables = [part for part in nodes if isinstance(part, Table)]
    if len(tables) != len(nodes):
        raise ConfigError("`<<` takes a mapping, or a list of mappings.", node.line)
    return tables


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _refuse(event: Any, message: str) -> NoReturn:
    raise ConfigError(message, _line(event))
