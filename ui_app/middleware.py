"""Notes at which state of the server a page is made, before the page reads anything."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from proxy_app import questions


class LiveVersionMiddleware:
    """Gives pages `request.live_version`; their scripts compare it with what the server says."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/ui/"):
            request.live_version = questions.live_version()  # type: ignore[attr-defined]
        return self.get_response(request)
