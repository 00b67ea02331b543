"""Macros: texts that commands use as ${name}, and that may use each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from models_app.config_yaml.errors import ConfigError

MAX_NAME: Final = 63
MAX_VALUE: Final = 1024
MAX_TEXT: Final = 128 * 1024
"""Characters of a text whose macros are filled in; no system takes a longer argument."""
MAX_LEVELS: Final = 50

MODEL_ID: Final = "MODEL_ID"
PORT: Final = "PORT"
PID: Final = "PID"
RESERVED: Final = frozenset({MODEL_ID, PORT, PID})
"""Names the server fills in itself, at launch or when it stops an engine."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_USE: Final = re.compile(r"\$\{([a-zA-Z0-9_-]+)\}", re.ASCII)
_VARIABLE: Final = re.compile(r"\$\{env\.([a-zA-Z_][a-zA-Z0-9_]*)\}", re.ASCII)


class _Resolved(NamedTuple):
    text: str
    levels: int


class Macros:
    """The macros of a document, each resolved when it is first used."""

    def __init__(self, macros: Mapping[str, str]) -> None:
        self._macros = macros
        self._resolved: dict[str, _Resolved] = {}

    def resolve(self, text: str) -> str:
        """The text with every known macro filled in, macros within macros too; others stay.

        Raises ConfigError for macros that use each other in a circle or over more than
        MAX_LEVELS levels, and for results longer than MAX_TEXT.
        """
        return self._fill(text, ()).text

    def check(self, name: str) -> None:
        """Raise ConfigError when a macro breaks the rules for names, values or circles."""
        if len(name) > MAX_NAME:
            raise ConfigError(
                f"macro name '{name}' exceeds maximum length of {MAX_NAME} characters"
            )
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f"macro name '{name}' contains invalid characters, must match pattern "
                "^[a-zA-Z0-9_-]+$"
            )
        if name in RESERVED:
            raise ConfigError(f"macro name '{name}' is reserved and cannot be used")
        if len(self._macros[name]) > MAX_VALUE:
            raise ConfigError(
                f"macro value for '{name}' exceeds maximum length of {MAX_VALUE} characters"
            )
        self._value(name, ())

    def _fill(self, text: str, users: tuple[str, ...]) -> _Resolved:
        parts: list[str] = []
        size = end = levels = 0
        for match in _USE.finditer(text):
            if match[1] not in self._macros:
                continue
            value = self._value(match[1], users)
            parts += (text[end : match.start()], value.text)
            size += len(parts[-2]) + len(parts[-1])
            _check_size(size)  # before the next part: short macros can stand for endless text
            levels = max(levels, value.levels)
            end = match.end()
        _check_size(size + len(text) - end)
        return _Resolved("".join((*parts, text[end:])), levels)

    def _value(self, name: str, users: tuple[str, ...]) -> _Resolved:
        if name in users:
            circle = " → ".join((*users[users.index(name) :], name))
            raise ConfigError(f"The macros use each other in a circle: {circle}. Break it.")
        if name not in self._resolved:
            _check_levels(len(users), name)
            text, levels = self._fill(self._macros[name], (*users, name))
            _check_levels(levels, name)
            self._resolved[name] = _Resolved(text, levels + 1)
        return self._resolved[name]


def _check_size(size: int) -> None:
    if size > MAX_TEXT:
        raise ConfigError(f"The macros make a text longer than {MAX_TEXT} characters.")


def _check_levels(levels: int, name: str) -> None:
    if levels >= MAX_LEVELS:
        raise ConfigError(f"The macro {name} stands over more than {MAX_LEVELS} levels of macros.")


def names_in(text: str) -> Iterator[str]:
    """The names that a text uses as ${name}, in order."""
    return (match[1] for match in _USE.finditer(text))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with ${name} replaced for the names in `values`; nothing is looked at twice."""
    return _USE.sub(lambda match: values.get(match[1], match[0]), text)


def fill_variables(text: str, environ: Mapping[str, str]) -> str:
    """The text with ${env.NAME} replaced. Raises ConfigError when a variable is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigError(
                f"The environment variable {match[1]} is not set. "
                "Set it where the server is started."
            )
        return environ[match[1]]

    return _VARIABLE.sub(value, text)
