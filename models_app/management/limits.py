"""Limits of keys and people as options of a command."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from typing import Any, Final

_AMOUNTS: Final = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "tokens_per_day": "tokens a day (UTC)",
    "tokens_per_month": "tokens a month (UTC)",
    "parallel_requests": "requests at the same time",
}

NO_LIMITS: Final[Mapping[str, Any]] = {
    "allowed_models": [],
    "allowed_groups": [],
    **dict.fromkeys(_AMOUNTS),
}
"""By the names of the columns."""


def add_limits(parser: ArgumentParser) -> None:
    """Let a command be told limits."""
    parser.add_argument("--model", action="append", default=[], help="a model that may be used")
    parser.add_argument("--group", action="append", default=[], help="a group that may be used")
    for column, text in _AMOUNTS.items():
        parser.add_argument("--" + column.replace("_", "-"), type=positive, help=text)


def limits_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The limits that were told, by the names of the columns."""
    amounts = {column: options[column] for column in _AMOUNTS if options[column]}
    return {"allowed_models": options["model"], "allowed_groups": options["group"], **amounts}


def positive(text: str) -> int:
    """A whole number above 0, and below 2^53."""
    if not text.isdigit() or not 0 < int(text) < 2**53:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)
