from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from claracore_site.content_policy import HEADER, POLICY, ContentPolicyMiddleware


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/ui/", "/admin/", "/admin/login/", "/api/no-such-thing"])
def test_every_page_forbids_inline_scripts_and_styles(client: Client, path: str) -> None:
    policy = client.get(path)[HEADER]

    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy and "data:" not in policy


def test_a_view_may_send_a_policy_of_its_own() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'none'"} if request.GET else None)

    send = ContentPolicyMiddleware(view)

    assert send(RequestFactory().get("/?own"))[HEADER] == "default-src 'none'"
    assert send(RequestFactory().get("/"))[HEADER] == POLICY
