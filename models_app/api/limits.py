"""What a key or a person is limited to, as REST tells and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from models_app.api.fields import Texts, Whole
from models_app.models.limited import Limited

COLUMN: Final = {
    "models": "allowed_models",
    "groups": "allowed_groups",
    "requestsPerMinute": "requests_per_minute",
    "tokensPerMinute": "tokens_per_minute",
    "tokensPerDay": "tokens_per_day",
    "tokensPerMonth": "tokens_per_month",
    "parallelRequests": "parallel_requests",
}
"""The fields, and the columns that hold them."""

_LARGEST: Final = 2**53


def _limit(text: str, most: int = 2**31 - 1) -> Whole:
    return Whole(
        required=False, allow_null=True, min_value=1, max_value=most, help_text=f"{text} null: any."
    )


class LimitChoices(serializers.Serializer[Any]):
    """What is left out stays as it is, and is no limit for somebody new."""

    models = Texts(required=False, help_text="Ids of the only models that may be used. Empty: all.")
    groups = Texts(required=False, help_text="Groups whose models may be used as well.")
    requestsPerMinute = _limit("Requests a minute.")
    tokensPerMinute = _limit("Tokens a minute, of prompts and answers.")
    tokensPerDay = _limit("Tokens a day (UTC).", _LARGEST)
    tokensPerMonth = _limit("Tokens a month (UTC).", _LARGEST)
    parallelRequests = _limit("Requests at the same time.")


class ShownLimits(serializers.Serializer[Any]):
    models = serializers.ListField(child=serializers.CharField())
    groups = serializers.ListField(child=serializers.CharField())
    requestsPerMinute = serializers.IntegerField(allow_null=True)
    tokensPerMinute = serializers.IntegerField(allow_null=True)
    tokensPerDay = serializers.IntegerField(allow_null=True)
    tokensPerMonth = serializers.IntegerField(allow_null=True)
    parallelRequests = serializers.IntegerField(allow_null=True)


def columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The limits among the values of a request, by their columns."""
    return {COLUMN[name]: value for name, value in values.items() if name in COLUMN}


def shown(row: Limited) -> dict[str, Any]:
    """The limits of a key or a person."""
    return {name: getattr(row, column) for name, column in COLUMN.items()}
