"""One error shape for everything under /api: {"error", "details", "code"}."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler


class ApiError(exceptions.APIException):
    """An error a client can act on. `error` says what is wrong and what to do about it."""

    def __init__(
        self, error: str, *, status: int = 400, code: str = "BAD_REQUEST", details: str = ""
    ) -> None:
        super().__init__(error, code)
        self.status_code = status
        self.body = {"error": error, "details": details, "code": code}


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's errors in our shape; anything unknown stays a server error."""
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ApiError):
        response.data = error.body
        return response
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    assert isinstance(error, exceptions.APIException)
    response.data = {
        "error": _first_sentence(error.detail),
        "details": "" if isinstance(error.detail, str) else str(error.detail),
        "code": str(error.default_code).upper(),
    }
    return response


def _first_sentence(detail: Any) -> str:
    if isinstance(detail, dict):
        field, problems = next(iter(detail.items()))
        return f"{field}: {_first_sentence(problems)}"
    if isinstance(detail, list):
        return _first_sentence(detail[0])
    return str(detail)


def not_found(request: HttpRequest, *_: Any, **__: Any) -> JsonResponse:
    """An unknown path under /api."""
    return JsonResponse(
        {
            "error": f"There is nothing at {request.path}.",
            "details": "",
            "code": "NOT_FOUND",
        },
        status=404,
    )
