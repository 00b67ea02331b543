"""Fields that take JSON's own types and nothing that merely looks like them.

Django REST framework's fields turn "yes" into true and 5 into "5"; a client that sends those has
a fault that it should hear of.
"""

from __future__ import annotations

import math
from typing import Any

from rest_framework import serializers

MAX_INTEGER = 2**31 - 1
MAX_GIB = 1_000_000


class Text(serializers.CharField):
    """A JSON string, kept as it is."""

    default_error_messages = {"invalid": "must be a text."}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction, at most MAX_INTEGER unless said otherwise."""

    default_error_messages = {  # noqa: RUF012
        "invalid": "must be a whole number.",
        "max_value": "must be at most {max_value}.",
        "min_value": "must be at least {min_value}.",
    }

    def __init__(self, **options: Any) -> None:
        options.setdefault("min_value", 0)
        options.setdefault("max_value", MAX_INTEGER)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> int:
        number = isinstance(data, int | float) and not isinstance(data, bool)
        if not number or data != data or data in (math.inf, -math.inf) or data != int(data):
            self.fail("invalid")
        return int(data)


class Real(serializers.FloatField):
    """A JSON number."""

    default_error_messages = {  # noqa: RUF012
        "invalid": "must be a number.",
        "max_value": "must be at most {max_value}.",
        "min_value": "must be >= {min_value}",
    }

    def __init__(self, **options: Any) -> None:
        options.setdefault("min_value", 0)
        options.setdefault("max_value", MAX_GIB)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("invalid")
        try:
            number = float(data)
        except OverflowError:
            self.fail("max_value", max_value=self.max_value)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class Flag(serializers.BooleanField):
    """JSON's true or false."""

    default_error_messages = {"invalid": "must be true or false."}  # noqa: RUF012

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of a few texts."""

    default_error_messages = {"invalid_choice": "must be one of {choices}."}  # noqa: RUF012

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            if data == "" and self.allow_blank:
                return ""
            self.fail("invalid_choice", choices=", ".join(map(str, self.choices)))
        return data


class Texts(serializers.ListField):
    """A JSON list of texts."""

    default_error_messages = {"not_a_list": "must be a list of texts."}  # noqa: RUF012
    child = Text(max_length=4096)
