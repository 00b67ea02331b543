"""Which right a view needs, and what happens to one of which nobody said it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from rest_framework.views import APIView

from models_app.access import Open, needed_by, needs
from models_app.rights import Scope


def forgotten(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Forgotten(APIView):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @needs(Scope.INFERENCE)
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


def test_a_view_that_says_nothing_is_for_administrators() -> None:
    assert needed_by(forgotten, "GET") is Scope.ADMIN
    for method in ("GET", "HEAD"):
        assert needed_by(Forgotten.as_view(), method) is Scope.ADMIN


def test_a_view_may_say_it_for_itself_or_for_a_method() -> None:
    @needs(Open.ANYBODY)
    def door(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    assert needed_by(door, "GET") is Open.ANYBODY
    assert needed_by(Forgotten.as_view(), "POST") is Scope.INFERENCE
