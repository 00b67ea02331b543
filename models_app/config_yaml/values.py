"""Values of a configuration that may hold macros anywhere within: request fields and metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.macros import MODEL_ID, PORT, Macros, fill, fill_variables, names_in
from models_app.config_yaml.nodes import Scalar
from models_app.config_yaml.scalars import value_of

_WHOLE_MACRO: Final = re.compile(r"\$\{[a-zA-Z0-9_.-]+\}", re.ASCII)
_KNOWN: Final = frozenset({MODEL_ID, PORT})


def resolved_value(value: Any, macros: Macros, place: str) -> Any:
    """JSON values with every macro in their texts filled in, keys of mappings too.

    A text that is nothing but one macro becomes what stands behind it: a number stays one.
    ${MODEL_ID}, ${PORT} and ${env.NAME} are left. Raises ConfigError for unknown macros, naming
    `place`.
    """

    def resolve(text: str) -> Any:
        if "${" not in text:
            return text
        found = macros.resolve(text)
        for name in names_in(found):
            if name not in _KNOWN:
                raise ConfigError(
                    f"unknown macro '${{{name}}}' found in {place}. "
                    "Define it under `macros`, or correct its name."
                )
        return found if found == text else _typed(text, found)

    return _each_text(value, resolve)


def filled_value(value: Any, values: Mapping[str, str], environ: Mapping[str, str]) -> Any:
    """What `resolved_value` left, filled in. Raises ConfigError for variables that are not set."""

    def complete(text: str) -> Any:
        if "${" not in text:
            return text
        found = fill(fill_variables(text, environ), values)
        # An id that looks like a number stays the text it is.
        return _typed(text, found) if PORT in names_in(text) else found

    return _each_text(value, complete)


def _typed(written: str, found: str) -> Any:
    if _WHOLE_MACRO.fullmatch(written) is None:
        return found
    try:
        return value_of(Scalar(1, found))
    except ConfigError:
        return found  # a number too long to be one


def _each_text(value: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {str(change(key)): _each_text(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(part, change) for part in value]
    return value
