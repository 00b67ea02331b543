"""Reads metadata under the types and ranges we expect; anything else counts as missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models_app.gguf import ArrayInfo, Value

MAX_INTEGER: Final = 2**31 - 1  # the engine's own range for sizes and counts
MAX_LAYERS: Final = 1_024
MAX_NUMBER: Final = 1e15
MAX_TEXT: Final = 200  # characters of a name
MAX_TEXTS: Final = 64


class Values:
    """A header's metadata, as trustworthy values."""

    def __init__(self, metadata: Mapping[str, Value]) -> None:
        self._metadata = metadata

    def text(self, key: str) -> str:
        """A name on one line, at most `MAX_TEXT` characters. "" when there is none."""
        return _line(self._metadata.get(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """The names in an array, those that are not empty."""
        value = self._metadata.get(key)
        lines = map(_line, value[:MAX_TEXTS]) if isinstance(value, tuple) else ()
        return tuple(line for line in lines if line)

    def integer(self, key: str, most: int = MAX_INTEGER) -> int | None:
        """An integer from 0 to `most`."""
        return _integer(self._metadata.get(key), most)

    def number(self, key: str) -> float | None:
        """A number from 0 to `MAX_NUMBER`."""
        value = self._metadata.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if 0 <= value <= MAX_NUMBER else None

    def flag(self, key: str) -> bool:
        """Whether a flag is there and set."""
        return self._metadata.get(key) is True

    def largest(self, key: str) -> int | None:
        """An integer, or the largest in an array of them."""
        value = self._metadata.get(key)
        return max(_integers(value), default=None) if isinstance(value, tuple) else _integer(value)

    def per_layer(self, key: str, layers: int | None) -> tuple[int, ...]:
        """One integer a layer, whether the file has one for all or an array of them."""
        value = self._metadata.get(key)
        if isinstance(value, tuple):
            return _integers(value)[:layers]
        number = _integer(value)
        return () if number is None or layers is None else (number,) * layers

    def flags(self, key: str) -> tuple[bool, ...]:
        """An array of flags, which some writers store as numbers."""
        value = self._metadata.get(key)
        return tuple(map(bool, _integers(value))) if isinstance(value, tuple) else ()

    def digest(self, key: str) -> str:
        """The digest of an array that was stepped over, "" where there is none."""
        value = self._metadata.get(key)
        return value.digest if isinstance(value, ArrayInfo) else ""

    def length(self, key: str) -> int | None:
        """How many items an array has."""
        value = self._metadata.get(key)
        if isinstance(value, ArrayInfo):
            return value.length
        return len(value) if isinstance(value, tuple) else None


def _line(value: Value | None) -> str:
    if not isinstance(value, str):
        return ""
    # PostgreSQL refuses a NUL in text, and other control characters garble logs and pages.
    printable = "".join(c if c.isprintable() else " " for c in value[: 4 * MAX_TEXT])
    return " ".join(printable.split())[:MAX_TEXT].strip()


def _integer(value: Value | None, most: int = MAX_INTEGER) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        return None
    return value


def _integers(values: tuple[object, ...]) -> tuple[int, ...]:
    """The integers of an array, () as soon as one is none."""
    numbers = tuple(v for v in values if isinstance(v, int) and 0 <= v <= MAX_INTEGER)
    return numbers if len(numbers) == len(values) else ()
