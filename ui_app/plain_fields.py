"""Fields for values that are lists or mappings, written as a person would: a line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _


class _LinesField(forms.Field):
    """Text of several lines in a text area as high as it is worth."""

    rows = 2

    def __init__(self, **options: Any) -> None:
        area = forms.Textarea(attrs={"rows": self.rows, "spellcheck": "false", "class": "mono"})
        super().__init__(required=False, widget=area, **options)


class ListField(_LinesField):
    """A list of texts, one on each line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:
        lines = map(str.strip, str(value or "").splitlines())
        return [line for line in lines if line]


class PairsField(_LinesField):
    """A mapping of names to texts: `name: text` on each line."""

    rows = 3

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{name}: {text}" for name, text in value.items())

    def to_python(self, value: Any) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for line in filter(str.strip, str(value or "").splitlines()):
            name, colon, text = line.partition(":")
            if not colon or not name.strip():
                raise forms.ValidationError(
                    _("Write a name, a colon and a text on each line, not “%(line)s”.")
                    % {"line": line.strip()[:60]}
                )
            pairs[name.strip()] = text.strip()
        return pairs


class NumbersField(forms.Field):
    """A list of numbers with commas between them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, widget=forms.TextInput(), **options)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{one:g}" for one in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[int | float]:
        parts = [part.strip() for part in str(value or "").split(",")]
        return [_number(part) for part in parts if part]


def _number(text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        message = _("Write numbers with commas between them, such as 0, 5, 15.")
        raise forms.ValidationError(message) from None
    return int(number) if number.is_integer() else number
