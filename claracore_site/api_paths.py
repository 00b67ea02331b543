"""Paths under /api: with or without a trailing slash, and errors always in the API's shape."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from models_app.api.errors import SERVER_ERROR, away, body_of


def is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


class ApiPaths:
    """Middleware around everything: takes a trailing slash off, and gives errors their shape.

    A redirect to the other form would lose the body of a POST. Django's own refusals (a bad
    host, a suspicious request, a view that failed) are pages; a client of the API reads `error`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request.path_info):
            return self.get_response(request)
        if request.path_info.endswith("/") and request.path_info != "/api/":
            request.path_info = request.path_info.rstrip("/")
        return _in_shape(self.get_response(request))


def _in_shape(response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code < 400 or _is_json(response):
        return response
    status = response.status_code
    body = away() if status == 503 else body_of(status, SERVER_ERROR if status >= 500 else "")
    shaped: HttpResponse = JsonResponse(body, status=status)
    for name in ("Allow", "Retry-After"):
        if name in response:
            shaped[name] = response[name]
    return shaped


def _is_json(response: HttpResponseBase) -> bool:
    return str(response.get("Content-Type", "")).startswith("application/json")
