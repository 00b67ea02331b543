"""One error shape for everything under /api: {"error", "details", "code"}."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from models_app.access import needs, rights_of
from models_app.database_away import RETRY_SECONDS, TEXT, is_away
from models_app.models import ServedModel
from models_app.rights import Scope
from models_app.within_reach import looked_after

logger = logging.getLogger(__name__)

SERVER_ERROR = "The server made a mistake. Its log tells what went wrong."


class ApiError(exceptions.APIException):
    """An error a client can act on. `error` says what is wrong and what to do about it."""

    def __init__(
        self,
        error: str,
        *,
        status: int = 400,
        code: str = "BAD_REQUEST",
        details: str | list[str] = "",
        **more: Any,
    ) -> None:
        """`more` are further keys of the answer, such as the id of what is in the way."""
        super().__init__(error, code)
        self.status_code = status
        self.body = {"error": error, "details": details, "code": code, **more}


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Every error of a REST view in our shape; what nobody foresaw is logged and answers 500."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    response = exception_handler(error, context)
    if response is None:
        set_rollback()
        request = context.get("request")
        if is_away(error):
            logger.warning("%s: the database is away (%s)", _named(request), error)
            return Response(away(), status=503, headers={"Retry-After": str(RETRY_SECONDS)})
        logger.error("%s failed", _named(request), exc_info=error)
        return Response(body_of(500, SERVER_ERROR), status=500)
    assert isinstance(error, exceptions.APIException)
    response.data = error.body if isinstance(error, ApiError) else _body(error)
    return response


def away() -> dict[str, Any]:
    """The body while the database is away."""
    return {**body_of(503, TEXT), "code": "DATABASE_AWAY"}


def _body(error: exceptions.APIException) -> dict[str, Any]:
    """The body for an error of Django REST framework's own."""
    plain = isinstance(error.detail, str)
    return {
        "error": _first_sentence(error.detail),
        "details": "" if plain else str(error.detail),
        "code": str(error.default_code).upper(),
    }


def _first_sentence(detail: Any) -> str:
    if isinstance(detail, dict):
        field, problems = next(iter(detail.items()))
        return f"{field}: {_first_sentence(problems)}"
    if isinstance(detail, list):
        return _first_sentence(detail[0])
    return str(detail)


def _named(request: Any) -> str:
    return f"{request.method} {request.path}" if request is not None else "A request"


def body_of(status: int, error: str = "") -> dict[str, Any]:
    """The body for an error that has nothing but its status to tell."""
    known = HTTPStatus(status)
    return {"error": error or f"{known.phrase}.", "details": "", "code": known.name}


def check_looked_after(request: Any, model: ServedModel, asked_for: str) -> None:
    """Raises ApiError for a model out of reach of whoever manages some models only.

    It is named as it was asked for: an alias does not tell the id.
    """
    if not looked_after(rights_of(request))(model.model_id):
        raise ApiError(
            f"You may not manage {asked_for}: your key or account is limited to other models. "
            "GET /v1/models lists yours; an administrator can allow you this one.",
            status=403,
            code="MODEL_NOT_ALLOWED",
        )


@needs(Scope.INFERENCE)
@csrf_exempt  # or else a POST to a path that is not there would ask for a cookie
def not_found(request: HttpRequest, *_: Any, **__: Any) -> JsonResponse:
    """An unknown path under /api."""
    return JsonResponse(body_of(404, f"There is nothing at {request.path}."), status=404)
