"""Who a client is to this server, and what it may do."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import person_limits
from models_app.access import needs
from models_app.api import limits
from models_app.api.keys import KeyRow, shown
from models_app.api.limits import ShownLimits
from models_app.api.schema import described
from models_app.models import ApiKey
from models_app.rights import Rights, Scope


class Me(serializers.Serializer[Any]):
    person = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    key = KeyRow(allow_null=True)
    limits = ShownLimits(
        allow_null=True, help_text="What the person is limited to, with all their keys together."
    )


@needs(Scope.INFERENCE)
@described(
    "me",
    "Who you are here, and what you may do",
    tag="access",
    answers=Me,
)
@api_view(["GET"])
def me(request: Request) -> Response:
    """Name, scopes, and the key that was sent with its limits."""
    rights: Rights = request.rights  # type: ignore[attr-defined]
    row = ApiKey.objects.select_related("person").filter(pk=rights.key_id).first()
    person = User.objects.select_related("limits").filter(pk=rights.person_id).first()
    return Response(
        {
            "person": rights.person_id or None,
            "name": rights.name,
            "scopes": sorted(rights.scopes),
            "key": None if row is None else shown(row),
            "limits": None if person is None else limits.shown(person_limits.of(person)),
        }
    )
