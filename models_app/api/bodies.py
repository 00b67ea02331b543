"""What a client sent, as checked values.

Bodies are read as JSON whatever their Content-Type says, and names of fields in any case: that is
how clients of this API send them. Fields that are unknown or null count as left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from rest_framework import serializers
from rest_framework.request import Request

from models_app import dry_runs
from models_app.api.errors import ApiError

MAX_BYTES: Final = 16 * 1024 * 1024
"""Longest body that is read. A configuration of 4 MiB fits with every character escaped."""

_NOTHING: Final = frozenset({"required", "null", "blank", "empty"})


def read(
    request: Request, fields: type[serializers.Serializer[Any]], *, optional: bool = False
) -> dict[str, Any]:
    """The body's fields as `fields` describes them.

    Raises ApiError 400 for a body that is no JSON object or holds wrong values, 413 for one that
    is too long. With `optional` an empty body stands for an empty object.
    """
    data = request._request.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ApiError(
            f"The request body is longer than the {MAX_BYTES} bytes this API takes.",
            status=413,
            code="BODY_TOO_LARGE",
        )
    if optional and not data.strip():
        return checked({}, fields)
    return checked(_decoded(data), fields)


def checked(values: Any, fields: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """`values`, decoded JSON, as `fields` describes them. Raises ApiError 400."""
    if not isinstance(values, dict):
        raise _invalid("The request body must be a JSON object.")
    serializer = fields(data=_named(values, fields()))
    if not serializer.is_valid():
        raise _invalid(_sentence(serializer.errors))
    return dict(serializer.validated_data)


def truth(request: Request, name: str) -> bool:
    """A switch in the query: `?name=1`. Raises ApiError 400 for anything but a truth value."""
    text = request.query_params.get(name, "").lower()
    if text in ("", "0", "false"):
        return False
    if text in ("1", "true"):
        return True
    raise _invalid(f"{name} must be 0 or 1, not {text[:40]!r}.")


def dry_run_of(request: Request) -> bool:
    """Whether it only wants to know what would be done. Raises ApiError 400 as `truth`."""
    wanted = truth(request, dry_runs.NAME)
    if wanted:
        dry_runs.mark(request._request)
    return wanted


def number(request: Request, name: str, default: float, highest: float) -> float:
    """A number from 0 to `highest` in the query. Raises ApiError 400."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise _invalid(f"{name} must be a number, not {text[:40]!r}.") from None
    if not 0 <= value <= highest:
        raise _invalid(f"{name} must be from 0 to {highest:g}, not {text[:40]}.")
    return value


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError:
        raise _invalid("The request body is nested too deeply.") from None
    except ValueError as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise _invalid("The request body is not valid JSON.", str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _named(values: Mapping[str, Any], serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    """The values that `serializer` knows, under its names; those that are null only if it may."""
    names = {name.lower(): name for name in serializer.fields.keys()}  # noqa: SIM118
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(key.lower())
        if name is None:
            continue
        field = serializer.fields[name]
        if value is None and not field.allow_null:
            continue
        if isinstance(field, serializers.Serializer) and isinstance(value, dict):
            value = _named(value, field)
        named[name] = value
    return named


def _sentence(errors: Any, place: str = "") -> str:
    """The first problem, with the name of the field it lies in."""
    if isinstance(errors, Mapping):
        name, problems = next(iter(errors.items()))
        if name == "non_field_errors":
            return _sentence(problems, place)
        return _sentence(problems, f"{place}.{name}" if place else str(name))
    if isinstance(errors, list):
        # The children of a list are a list of mappings, of which the faultless are empty.
        return _sentence(next(filter(None, errors)), place)
    if getattr(errors, "code", "") in _NOTHING:
        return f"{place} is required"
    return f"{place} {errors}" if place else str(errors)


def _invalid(text: str, details: str = "") -> ApiError:
    return ApiError(text, code="INVALID_REQUEST", details=details)
