"""Commands of models: from the text in a configuration to what is executed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.macros import (
    MODEL_ID,
    PID,
    PORT,
    Macros,
    fill,
    fill_variables,
    names_in,
)
from models_app.config_yaml.values import filled_value, resolved_value
from models_app.document import ConfigDocument, ModelEntry

# One alternative a kind of text, tried in this order. A quoted part is one piece, so that a `#`
# or a backslash at the start or end of a line within it means nothing.
_PIECE: Final = re.compile(
    r"""
      (?P<comment>   ^[ \t\r]*\#[^\n]*(?:\n|\Z) )
    | (?P<gap>       \n | [ \t\r]+ | \\[ \t\r]*(?:\n|\Z) )
    | '(?P<single>   [^']*)'
    | "(?P<double>   (?:[^"\\]|\\.)*)"
    | \\(?P<escaped> .)
    | (?P<bare>      [^ \t\r\n'"\\]+ )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_COMMENT_OR_QUOTED: Final = re.compile(
    r"""(?P<comment>^[ \t\r]*#[^\n]*(?:\n|\Z))|'[^']*'|"(?:[^"\\]|\\.)*"|\\.""",
    re.MULTILINE | re.DOTALL,
)

_FIELDS: Final = {
    "cmd": ("cmd", frozenset({MODEL_ID, PORT})),
    "cmd_stop": ("cmdStop", frozenset({MODEL_ID, PORT, PID})),
    "proxy": ("proxy", frozenset({MODEL_ID, PORT})),
    "check_endpoint": ("checkEndpoint", frozenset({MODEL_ID, PORT})),
}


@dataclass(frozen=True, slots=True)
class ExpandedCommand:
    """A model's entry with everything filled in but the process id.

    `check_endpoint` is a path, or "none" when the engine is taken to be ready at once.
    `strip_params` are the request fields to drop.
    """

    argv: tuple[str, ...]
    cmd_stop: tuple[str, ...]
    proxy: str
    check_endpoint: str
    strip_params: tuple[str, ...] = ()
    set_params: Mapping[str, Any] = field(default_factory=dict)
    """Fields to set in every request."""
    set_params_by_id: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields to set after those, by the id the request asks for. Every id here is one that the
    model answers to."""

    def stop_argv(self, pid: int) -> tuple[str, ...]:
        """The command that stops the engine with this process id; empty when it has none."""
        return tuple(fill(word, {PID: str(pid)}) for word in self.cmd_stop)


def expand(
    entry: ModelEntry,
    document: ConfigDocument,
    port: int | str,
    environ: Mapping[str, str] | None = None,
) -> ExpandedCommand:
    """What is executed for a model whose engine listens on `port`.

    `${env.NAME}` is taken from `environ`, the server's own environment by default. Raises
    ConfigError for an empty command, unknown macros, unset variables and open quotes.
    """
    macros = macros_of(entry, document)
    environ = os.environ if environ is None else environ
    texts = {name: fill_variables(resolved(entry, name, macros), environ) for name in _FIELDS}
    check_port(entry, texts["cmd"], texts["proxy"])
    values = {MODEL_ID: entry.model_id, PORT: str(port)}
    return ExpandedCommand(
        argv=_filled_words(texts["cmd"], values),
        cmd_stop=_filled_words(texts["cmd_stop"], values) if texts["cmd_stop"].strip() else (),
        proxy=fill(texts["proxy"], values),
        check_endpoint=fill(texts["check_endpoint"], values),
        strip_params=_strip_params(entry, macros),
        set_params=filled_value(resolved_set_params(entry, macros), values, environ),
        set_params_by_id=filled_value(resolved_set_params_by_id(entry, macros), values, environ),
    )


def macros_of(entry: ModelEntry, document: ConfigDocument) -> Macros:
    """The macros a model may use: the document's and its own, which win."""
    return Macros({**document.macros, **entry.macros} if entry.macros else document.macros)


def resolved_set_params(entry: ModelEntry, macros: Macros) -> dict[str, Any]:
    """`set_params` with macros filled in, ${MODEL_ID} and the like left."""
    place = f"{entry.model_id}.filters.setParams"
    found: dict[str, Any] = resolved_value(entry.set_params, macros, place)
    return found


def resolved_set_params_by_id(entry: ModelEntry, macros: Macros) -> dict[str, dict[str, Any]]:
    """`set_params_by_id` in the same way."""
    place = f"{entry.model_id}.filters.setParamsByID"
    found: dict[str, dict[str, Any]] = resolved_value(entry.set_params_by_id, macros, place)
    return found


def variant_ids(entry: ModelEntry, macros: Macros) -> tuple[str, ...]:
    """The ids `set_params_by_id` adds to a model, as requests name them."""
    values = {MODEL_ID: entry.model_id}
    return tuple(fill(name, values) for name in resolved_set_params_by_id(entry, macros))


def words(entry: ModelEntry, document: ConfigDocument) -> tuple[str, ...]:
    """The command as `expand` would execute it, but with ${PORT} and the like left in."""
    return tokenise(resolved(entry, "cmd", macros_of(entry, document)))


def resolved(entry: ModelEntry, name: str, macros: Macros) -> str:
    """A field of an entry without comments, its macros filled in, ${PORT} and the like left.

    `name` is cmd, cmd_stop, proxy or check_endpoint. Raises ConfigError for unknown macros.
    """
    text: str = getattr(entry, name)
    if "\0" in text:
        raise ConfigError(f"{entry.model_id}.{_FIELDS[name][0]} holds a \\0, which no command can.")
    if name.startswith("cmd"):
        text = without_comments(text)
    if "${" not in text:
        return text
    text = macros.resolve(text)
    key, allowed = _FIELDS[name]
    for used in names_in(text):
        if used not in allowed:
            raise ConfigError(
                f"unknown macro '${{{used}}}' found in {entry.model_id}.{key}. "
                "Define it under `macros`, or correct its name."
            )
    return text


def check_port(entry: ModelEntry, cmd: str, proxy: str) -> None:
    """Raise ConfigError when the proxy needs a port that the command never gets."""
    port = f"${{{PORT}}}"
    if cmd.strip() and port in proxy and port not in cmd:
        raise ConfigError(
            f"model {entry.model_id}: proxy uses {port} but cmd does not - {port} is only "
            "available when used in cmd. Let the command listen on it, or write the address "
            "it listens on as `proxy`."
        )


def tokenise(cmd: str) -> tuple[str, ...]:
    """The words of a command, by the quoting rules of a POSIX shell and no other of its rules.

    Lines that begin with # are comments, line breaks and backslashes at the end of a line are
    gaps. Raises ConfigError for an empty command and for an open quote.
    """
    found = tuple(word.text for word in placed_words(cmd))
    if not found or not found[0]:
        raise ConfigError("empty command. Say which program to start.")
    return found


class PlacedWord(NamedTuple):
    """A word of a command, and where in it the word is written, its quotes included."""

    start: int
    end: int
    text: str


def placed_words(cmd: str) -> list[PlacedWord]:
    """The words of a command as `tokenise` reads them. Raises ConfigError for an open quote."""
    found: list[PlacedWord] = []
    joined = False
    end = 0
    for match in _PIECE.finditer(cmd):
        if match.start() != end:
            break
        end = match.end()
        if match.lastgroup in ("comment", "gap"):
            joined = False
            continue
        if joined:
            word = found.pop()
            found.append(PlacedWord(word.start, end, word.text + _text_of(match)))
        else:
            found.append(PlacedWord(match.start(), end, _text_of(match)))
        joined = True
    if end != len(cmd):
        raise ConfigError(f"This quote is never closed: {cmd[end : end + 30]}")
    return found


def without_comments(cmd: str) -> str:
    """A command without its comment lines; macros in them need not exist."""
    if "#" not in cmd:
        return cmd
    return _COMMENT_OR_QUOTED.sub(lambda match: "" if match["comment"] else match[0], cmd)


def _text_of(match: re.Match[str]) -> str:
    kind = match.lastgroup or "bare"
    if kind == "double":
        text = re.sub(r"\\[ \t\r]*\n", " ", match[kind])
        return re.sub(r'\\(["\\])', r"\1", text)
    return match[kind]


def _filled_words(text: str, values: Mapping[str, str]) -> tuple[str, ...]:
    # Marked first, split, then filled in: an id with a space in it stays one argument, and
    # '$''{PORT}' stays the text it is in a shell. No command holds a \0 of its own.
    marks = {name: f"\0{name}\0" for name in values}
    found = list(tokenise(fill(text, marks)))
    for name, mark in marks.items():
        found = [word.replace(mark, values[name]) for word in found]
    return tuple(found)


def _strip_params(entry: ModelEntry, macros: Macros) -> tuple[str, ...]:
    names = macros.resolve(",".join(entry.strip_params)).split(",")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
