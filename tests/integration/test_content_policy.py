from __future__ import annotations

from typing import Final

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from claracore_site.content_policy import HEADER, POLICY, ContentPolicyMiddleware
from tests.routes import routes

WRITTEN_OUT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PLAYGROUND: Final = WRITTEN_OUT.replace(
    "img-src 'self'", "img-src 'self' data: blob:; media-src 'self' data: blob:"
)
"""What is shown and played there comes from engines and from files that somebody chose."""


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/ui/", "/admin/", "/admin/login/", "/api/no-such-thing"])
def test_every_page_forbids_inline_scripts_and_styles(client: Client, path: str) -> None:
    policy = client.get(path)[HEADER]

    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy and "data:" not in policy


@pytest.mark.django_db
def test_every_page_is_kept_from_frames_and_from_being_taken_for_something_else(
    client: Client,
) -> None:
    pages = [route for route in routes() if route.method == "GET" and is_page(route.path)]
    assert len(pages) > 150
    for path, _ in pages:
        headers = client.get(path).headers
        written = {WRITTEN_OUT} | ({PLAYGROUND} if path.startswith("/ui/playground/") else set())
        assert headers[HEADER] in written, path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["X-Content-Type-Options"] == "nosniff", path


def is_page(path: str) -> bool:
    """All but the stream of events, which has no end."""
    return path == "/" or (path.startswith(("/ui", "/admin")) and not path.startswith("/ui/events"))


def test_a_view_may_send_a_policy_of_its_own() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'none'"} if request.GET else None)

    send = ContentPolicyMiddleware(view)

    assert send(RequestFactory().get("/?own"))[HEADER] == "default-src 'none'"
    assert send(RequestFactory().get("/"))[HEADER] == POLICY
