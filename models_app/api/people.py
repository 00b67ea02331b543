"""Accounts over REST, for administrators."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import people, person_limits
from models_app.access import needs
from models_app.api import limits
from models_app.api.bodies import read
from models_app.api.errors import ApiError
from models_app.api.fields import Choice, Flag, Text
from models_app.api.schema import answer, described
from models_app.rights import LOCAL_NAME, Role, Scope

_ROLES = [str(role) for role in Role]


class Person(limits.ShownLimits):
    id = serializers.IntegerField()
    name = serializers.CharField()
    role = serializers.ChoiceField(_ROLES)
    active = serializers.BooleanField(help_text="Whether the person and their keys get in.")
    keys = serializers.IntegerField(help_text="How many keys they have that are not revoked.")
    lastSignIn = serializers.DateTimeField(allow_null=True)


class NewPerson(limits.LimitChoices):
    name = Text(max_length=150)
    password = Text(max_length=1024, help_text="At least eight characters, and no common one.")
    role = Choice(choices=_ROLES, required=False)


class PersonChoices(limits.LimitChoices):
    """What is left out stays."""

    role = Choice(choices=_ROLES, required=False)
    active = Flag(required=False)
    password = Text(required=False, max_length=1024)


@needs(Scope.ADMIN)
class People(APIView):
    """/api/people"""

    @described(
        "list_people",
        "Everybody who has an account",
        tag="access",
        answers=answer("PersonList", people=Person(many=True)),
    )
    def get(self, request: Request) -> Response:
        return Response({"people": [shown(user) for user in people.listed()]})

    @described("make_person", "Make an account", tag="access", takes=NewPerson, answers=Person)
    def post(self, request: Request) -> Response:
        values = read(request, NewPerson)
        role = Role(values.get("role", Role.USER))
        try:
            user = people.create(values["name"], values["password"], role)
        except people.PersonRejected as error:
            raise _rejected(error) from error
        person_limits.set_for(user, limits.columns(values))
        return Response(shown(user))


@needs(Scope.ADMIN)
class OnePerson(APIView):
    """/api/people/<id>"""

    @described("get_person", "One account", tag="access", answers=Person, errors=(404,))
    def get(self, request: Request, pk: int) -> Response:
        return Response(shown(_found(pk)))

    @described(
        "change_person",
        "Change an account's role, password, limits, or whether it gets in",
        tag="access",
        takes=PersonChoices,
        answers=Person,
        errors=(404,),
        about="Limits bind the person who has signed in and all their keys together.",
    )
    def patch(self, request: Request, pk: int) -> Response:
        user, values = _found(pk), read(request, PersonChoices)
        try:
            # All of it or nothing: what is answered with an error is not noted as an act.
            with transaction.atomic():
                if "role" in values:
                    people.set_role(user, Role(values["role"]))
                if "active" in values:
                    people.set_active(user, values["active"])
                if "password" in values:
                    people.set_password(user, values["password"])
                person_limits.set_for(user, limits.columns(values))
        except people.PersonRejected as error:
            raise _rejected(error) from error
        return Response(shown(_found(pk)))

    @described(
        "remove_person",
        "Remove an account and its keys; its usage stays counted",
        tag="access",
        answers=answer("PersonRemoved", status=serializers.CharField()),
        errors=(400, 404),
    )
    def delete(self, request: Request, pk: int) -> Response:
        try:
            people.remove(_found(pk))
        except people.PersonRejected as error:
            raise _rejected(error) from error
        return Response({"status": "removed"})


def shown(user: User) -> dict[str, Any]:
    """An account as it is told, without its password."""
    return {
        "id": user.pk,
        "name": user.get_username(),
        "role": str(people.role_of(user)),
        "active": user.is_active,
        "keys": user.api_keys.filter(revoked_at=None).count(),
        "lastSignIn": user.last_login,
        **limits.shown(person_limits.of(user)),
    }


def _found(pk: int) -> User:
    user = User.objects.exclude(username=LOCAL_NAME).filter(pk=pk).first()
    if user is None:
        raise ApiError(
            f"There is nobody with the number {pk}. GET /api/people lists everybody.",
            status=404,
            code="NOT_FOUND",
        )
    return user


def _rejected(error: people.PersonRejected) -> ApiError:
    return ApiError(str(error), code="BAD_PERSON")
