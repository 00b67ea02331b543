"""Reads the fields of a request's body: by any case of their names, of the right type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request

from models_app.api.errors import ApiError


class Fields:
    """A JSON object. Every method raises ApiError with the field's name when a value is wrong."""

    def __init__(self, request: Request) -> None:
        if not isinstance(request.data, Mapping):
            raise ApiError("Send a JSON object.")
        self._values = {str(name).lower(): value for name, value in request.data.items()}

    def text(self, name: str) -> str:
        value = self._values.get(name.lower())
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ApiError(f"{name} must be a text.")
        if "\0" in value or not _is_unicode(value):
            raise ApiError(f"{name} holds a character that cannot be used.")
        return value.strip()

    def flag(self, name: str) -> bool:
        value = self._values.get(name.lower(), False)
        if not isinstance(value, bool | None):
            raise ApiError(f"{name} must be true or false.")
        return bool(value)

    def number(self, name: str) -> int | None:
        """A whole number from 0 to 2^53; None when it is not there."""
        value: Any = self._values.get(name.lower())
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**53:
            raise ApiError(f"{name} must be a whole number of at least 0.")
        return value

    def texts(self, name: str) -> list[str]:
        value: Any = self._values.get(name.lower()) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ApiError(f"{name} must be a list of texts.")
        if len(value) > 1000 or not all(map(_is_unicode, value)):
            raise ApiError(f"{name} holds too many items, or characters that cannot be used.")
        return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
