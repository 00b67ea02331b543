"""Which macros the choices for a model use (pure): they may stand for secrets and for commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from models_app.models import ServedModel

_USE: Final = re.compile(r"\$\{[^}]*\}?")
_HARMLESS: Final = frozenset({"${MODEL_ID}", "${PORT}"})
_ID: Final = "${MODEL_ID}"


def macros_in(value: Any) -> set[str]:
    """The macros and variables that a JSON value uses, but for a model's own id and port."""
    return set(_USE.findall(json.dumps(value))) - _HARMLESS


def commands_hold_id(model: ServedModel, macros: Iterable[Any]) -> bool:
    """Whether a command or address of a model may hold its id; `macros` are the server's texts."""
    texts = (model.cmd, model.cmd_stop, model.proxy, model.check_endpoint)
    return any(_ID in str(text) for text in (*texts, *model.macros.values(), *macros))
