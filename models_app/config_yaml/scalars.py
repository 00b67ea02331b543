"""What a value without quotes means: the core rules of YAML 1.2, as llama-swap reads them."""

from __future__ import annotations

import math
import re
from typing import Any, Final, TypeAlias

from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.nodes import Items, Node, Scalar

Plain: TypeAlias = bool | int | float | str | None

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS: Final = 300


def looks_special(text: str) -> bool:
    """Whether text without quotes would be read as something other than text."""
    return (
        text in _NULL
        or text in _TRUE
        or text in _FALSE
        or _INTEGER.fullmatch(text) is not None
        or _FLOAT.fullmatch(text) is not None
        or _NOT_FINITE.fullmatch(text) is not None
    )


def is_null(node: Node) -> bool:
    """Whether a value was left out, as in `aliases:` with nothing behind it."""
    return isinstance(node, Scalar) and not node.quoted and node.text in _NULL


def value_of(scalar: Scalar) -> Plain:
    """The value of a scalar, typed as its spelling says."""
    text = scalar.text
    if scalar.quoted or not looks_special(text):
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(scalar)


def _number(scalar: Scalar) -> int | float:
    text = scalar.text
    if len(text) > _MAX_DIGITS:
        raise ConfigError("This number is too long. Put quotes around it.", scalar.line)
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    number = math.inf if _NOT_FINITE.fullmatch(text) else float(text)
    if not math.isfinite(number):
        raise ConfigError(f"{text} cannot be kept as a number. Put quotes around it.", scalar.line)
    return number


def plain(node: Node) -> Any:
    """A node as lists, dicts with text as keys, text, numbers, truth values and None."""
    if isinstance(node, Scalar):
        return value_of(node)
    if isinstance(node, Items):
        return [plain(part) for part in node.nodes]
    return {key: plain(entry.node) for key, entry in node.entries.items()}
