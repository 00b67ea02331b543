"""What the query of a request says, for lists of requests and sums. Raises ApiError."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from models_app.api.errors import ApiError
from models_app.models import ApiKey
from models_app.rights import Rights

MODEL = OpenApiParameter("model", OpenApiTypes.STR, description="A model's id.")
KEY = OpenApiParameter(
    "key", OpenApiTypes.STR, description="An API key's name or number; `none`: without a key."
)
PERSON = OpenApiParameter(
    "person", OpenApiTypes.STR, description="A person's name or number; `none`: of nobody."
)
SINCE = OpenApiParameter(
    "since", OpenApiTypes.STR, description="ISO 8601 (UTC unless it says otherwise), or seconds."
)
UNTIL = OpenApiParameter("until", OpenApiTypes.STR, description="As `since`; not included.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="How many at most; 1 to 1000.")

LONGEST_PAGE = 1000


def wrong(name: str, text: str) -> ApiError:
    return ApiError(f"{name} {text}", details="Query parameter")


def moment(request: Request, name: str) -> datetime | None:
    """A time; None when the query names none."""
    value = request.query_params.get(name, "")
    if not value:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(float(value), UTC)
    found = None
    with suppress(ValueError):
        # In a query a plus sign stands for a blank.
        found = parse_datetime(value.replace(" ", "+") if "T" in value else value)
    if found is None:
        raise wrong(name, f"must be like 2026-01-31T12:00:00Z or seconds, not {value[:40]!r}.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def number(request: Request, name: str, default: int, least: int, most: int) -> int:
    value = request.query_params.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not least <= int(value[:9]) <= most:
        raise wrong(name, f"must be a number from {least} to {most}, not {value[:40]!r}.")
    return int(value)


def filters(request: Request, time: str) -> Q:
    """Model, key, person, since and until; `time` is the column of the latter.

    Only what whoever asks may see.
    """
    chosen = own(request)
    if model := request.query_params.get("model", ""):
        chosen &= Q(model=model)
    if key := request.query_params.get("key", ""):
        chosen &= Q(key_id=_key(key))
    if person := request.query_params.get("person", ""):
        chosen &= Q(person_id=_person(person))
    if (since := moment(request, "since")) is not None:
        chosen &= Q(**{f"{time}__gte": since})
    if (until := moment(request, "until")) is not None:
        chosen &= Q(**{f"{time}__lt": until})
    return chosen


def own(request: Request) -> Q:
    """What of the requests somebody may see: all who manages all models, others their own."""
    rights: Rights = request.rights  # type: ignore[attr-defined]
    if rights.manages_all:
        return Q()
    if rights.person_id:
        return Q(person_id=rights.person_id)
    return Q(key_id=rights.key_id, key_id__gt=0)


def _person(text: str) -> int:
    if text == "none":
        return 0
    named = User.objects.filter(username=text).first()
    if named is not None:
        return named.pk
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise wrong("person", f"names nobody: {text[:40]!r}.")


def person_names(ids: set[int]) -> dict[int, str]:
    """The names of people who have an account."""
    return dict(User.objects.filter(pk__in=ids).values_list("pk", "username"))


def _key(text: str) -> int:
    if text == "none":
        return 0
    # Of several keys with one name the newest is meant.
    named = ApiKey.objects.filter(name=text).order_by("-pk").first()
    if named is not None:
        return named.pk
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise wrong("key", f"names no API key: {text[:40]!r}.")


def key_names(ids: set[int]) -> dict[int, str]:
    """The names of keys, also of revoked ones."""
    return dict(ApiKey.objects.filter(pk__in=ids).values_list("pk", "name"))


def iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
