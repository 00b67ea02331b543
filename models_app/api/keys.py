"""API keys over REST: one's own, and for administrators everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import api_keys
from models_app.access import needs
from models_app.api import limits
from models_app.api.bodies import read
from models_app.api.errors import ApiError
from models_app.api.fields import Choice, Text, Whole
from models_app.api.schema import answer, described
from models_app.api_keys import Left
from models_app.models import ApiKey
from models_app.models.api_keys import MOST_SHARES
from models_app.rights import Rights, Scope

_COLUMN: Final = {
    "name": "name",
    "expiresAt": "expires_at",
    "scopes": "scopes",
    **limits.COLUMN,
    "priority": "priority",
    "queueShare": "queue_share",
}
"""The fields that somebody chooses, and the columns that hold them."""

_OF_ADMINISTRATORS: Final = frozenset(_COLUMN) - {"name"}
"""Nobody else changes these of a key that is there: else nobody would be limited by them."""


class KeyChoices(limits.LimitChoices):
    """What is left out stays as it is; a new key then has no limit."""

    name = Text(required=False, max_length=255, help_text="Whose key it is, or what for.")
    expiresAt = serializers.DateTimeField(required=False, allow_null=True)
    scopes = serializers.ListField(
        child=Choice(choices=[str(scope) for scope in Scope]), required=False, allow_empty=False
    )
    priority = serializers.IntegerField(
        required=False, allow_null=True, min_value=-1000, max_value=1000
    )
    queueShare = Whole(
        required=False,
        min_value=1,
        max_value=MOST_SHARES,
        help_text="As how many callers it counts when those who wait take turns.",
    )


class NewKey(KeyChoices):
    name = Text(max_length=255, help_text="Whose key it is, or what for.")
    person = Whole(
        required=False,
        allow_null=True,
        help_text="Whose it shall be; others than administrators make their own only.",
    )


class KeyRow(limits.ShownLimits):
    id = serializers.IntegerField()
    name = serializers.CharField()
    person = serializers.IntegerField(allow_null=True)
    personName = serializers.CharField()
    prefix = serializers.CharField(help_text="How the key begins; empty for the shared one.")
    state = serializers.ChoiceField(("valid", "expired", "revoked"))
    shared = serializers.BooleanField(help_text="Set by `apiKey` of /api/settings/system.")
    createdAt = serializers.DateTimeField()
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    revokedAt = serializers.DateTimeField(allow_null=True)
    expiresAt = serializers.DateTimeField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    tokensLeftToday = serializers.IntegerField(
        allow_null=True, help_text="Of `tokensPerDay`, as of the last seconds. null: no limit."
    )
    tokensLeftThisMonth = serializers.IntegerField(
        allow_null=True, help_text="Of `tokensPerMonth`, as of the last seconds. null: no limit."
    )
    priority = serializers.IntegerField(allow_null=True)
    queueShare = serializers.IntegerField()


class MadeKey(KeyRow):
    key = serializers.CharField(help_text="The key itself: told now and never again.")


@needs(Scope.INFERENCE)
class Keys(APIView):
    """/api/keys"""

    @described(
        "list_keys",
        "API keys: your own, and for administrators everybody's",
        tag="access",
        answers=answer("KeyList", keys=KeyRow(many=True)),
    )
    def get(self, request: Request) -> Response:
        rows = list(_visible(request))
        left = api_keys.tokens_left(rows)
        return Response({"keys": [shown(row, left) for row in rows]})

    @described(
        "make_key",
        "Make an API key",
        tag="access",
        takes=NewKey,
        answers=MadeKey,
        about="The key itself is told in this answer only.",
    )
    def post(self, request: Request) -> Response:
        values = read(request, NewKey)
        rights: Rights = request.rights  # type: ignore[attr-defined]
        person = _person_for(rights, values)
        if not api_keys.may_make(rights):
            raise ApiError(api_keys.A_KEY_MAKES_NONE, status=403, code="NOT_ALLOWED")
        if not rights.may(Scope.ADMIN) and _puts_before_others(values):
            raise ApiError(api_keys.PLACES_ARE_GIVEN, status=403, code="NOT_ALLOWED")
        row = ApiKey(person=person, **_columns(values))
        try:
            key = api_keys.make(row)
        except api_keys.KeyRejected as error:
            raise ApiError(str(error), code="BAD_API_KEY") from error
        return Response({**shown(row), "key": key})


@needs(Scope.INFERENCE)
class OneKey(APIView):
    """/api/keys/<id>"""

    @described("get_key", "One API key", tag="access", answers=KeyRow, errors=(404,))
    def get(self, request: Request, pk: int) -> Response:
        return Response(shown(_found(request, pk)))

    @described(
        "change_key",
        "Change an API key",
        tag="access",
        takes=KeyChoices,
        answers=KeyRow,
        errors=(404,),
        about="Its name is its person's to change; everything else takes an administrator.",
    )
    def patch(self, request: Request, pk: int) -> Response:
        row, values = _found(request, pk), read(request, KeyChoices)
        rights: Rights = request.rights  # type: ignore[attr-defined]
        if not rights.may(Scope.ADMIN) and values.keys() & _OF_ADMINISTRATORS:
            raise ApiError(
                "Only an administrator changes what a key may do. Its name you can change, and "
                "you can revoke it.",
                status=403,
                code="NOT_ALLOWED",
            )
        try:
            api_keys.change(row, **_columns(values))
        except api_keys.KeyRejected as error:
            raise ApiError(str(error), code="BAD_API_KEY") from error
        return Response(shown(row))

    @described(
        "revoke_key", "Revoke an API key, for good", tag="access", answers=KeyRow, errors=(404,)
    )
    def delete(self, request: Request, pk: int) -> Response:
        row = _found(request, pk)
        api_keys.revoke(row)
        row.refresh_from_db()
        return Response(shown(row))


def shown(row: ApiKey, left: Mapping[int, Left] | None = None) -> dict[str, Any]:
    """A key as it is told: never the key itself, nor its digest."""
    rest = (api_keys.tokens_left([row]) if left is None else left).get(row.pk, Left())
    return {
        "id": row.pk,
        "person": row.person_id,
        "personName": row.person.get_username() if row.person else "",
        "prefix": row.prefix,
        "state": api_keys.state_of(row),
        "shared": row.shared,
        "createdAt": row.created_at,
        "lastUsedAt": row.last_used_at,
        "revokedAt": row.revoked_at,
        "tokensLeftToday": rest.today,
        "tokensLeftThisMonth": rest.month,
        **{name: getattr(row, column) for name, column in _COLUMN.items()},
    }


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {_COLUMN[name]: value for name, value in values.items() if name in _COLUMN}


def _puts_before_others(values: dict[str, Any]) -> bool:
    return values.get("priority") is not None or values.get("queueShare", 1) != 1


def _visible(request: Request) -> QuerySet[ApiKey]:
    rights: Rights = request.rights  # type: ignore[attr-defined]
    return api_keys.visible_to(rights)


def _found(request: Request, pk: int) -> ApiKey:
    row = _visible(request).filter(pk=pk).first()
    if row is None:
        raise ApiError(
            f"There is no API key {pk}. GET /api/keys lists yours.", status=404, code="NOT_FOUND"
        )
    return row


def _person_for(rights: Rights, values: dict[str, Any]) -> User | None:
    """Whose the new key is. Administrators may make one for anybody, or for the server itself."""
    wanted = values.get("person", rights.person_id or None)
    if not rights.may(Scope.ADMIN):
        wanted = rights.person_id or None
    if wanted is None:
        return None
    person = User.objects.filter(pk=wanted).first()
    if person is None:
        raise ApiError(f"There is nobody with the number {wanted}.", code="NO_SUCH_PERSON")
    return person
