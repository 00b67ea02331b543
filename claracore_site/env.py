"""Strict readers for the CLARACORE_ environment variables.

A value that cannot be understood stops the start with a message that names the variable;
nothing falls back silently.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

PREFIX = "CLARACORE_"

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """The variable's value without surrounding blanks; unset or empty gives the default."""
    return os.environ.get(PREFIX + name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    """true/false, yes/no, on/off or 1/0 in any case."""
    value = text(name).lower()
    if not value:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ImproperlyConfigured(f"{PREFIX}{name} must be true or false, not {value!r}.")


def integer(name: str, default: int, *, lowest: int, highest: int) -> int:
    """A whole number within [lowest, highest]."""
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be a whole number, not {value!r}."
        ) from None
    if not lowest <= number <= highest:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be between {lowest} and {highest}, not {number}."
        )
    return number


def gibibytes(name: str) -> float | None:
    """An amount of memory in GiB, above 0; None when unset."""
    value = text(name)
    if not value:
        return None
    try:
        amount = float(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be a number of GiB, not {value!r}."
        ) from None
    if not 0 < amount < 1_000_000:
        raise ImproperlyConfigured(f"{PREFIX}{name} must be a number of GiB above 0, not {value}.")
    return amount


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words, in any case."""
    value = text(name).lower()
    if not value:
        return default
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be one of {', '.join(allowed)}, not {value!r}."
        )
    return value


def words(name: str) -> list[str]:
    """A comma-separated list; blanks around the items are dropped."""
    return [item.strip() for item in text(name).split(",") if item.strip()]


def path(name: str, default: Path) -> Path:
    """An absolute path; `~` and a relative path are resolved against the current directory."""
    value = text(name)
    return Path(value).expanduser().resolve() if value else default
