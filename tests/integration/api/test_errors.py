"""Whatever goes wrong under /api, a client reads the same three keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from claracore_site.api_paths import ApiPaths
from models_app.api.bodies import number, truth
from models_app.api.errors import ApiError
from models_app.api.rendering import Json

pytestmark = pytest.mark.django_db


def error_of(reply: Any, status: int) -> dict[str, Any]:
    """The error of a reply, which has the status and the three keys."""
    assert reply.status_code == status
    assert reply["Content-Type"].startswith("application/json")
    body: dict[str, Any] = json.loads(reply.content)
    assert {"error", "details", "code"} <= body.keys()
    assert body["error"]
    return body


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/nothing/here/", "/api//"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_it_names_unknown_paths(path: str, method: str) -> None:
    client = Client(enforce_csrf_checks=True, SERVER_NAME="localhost")
    body = error_of(getattr(client, method)(path), 404)
    assert body["code"] == "NOT_FOUND"
    assert path in body["error"]


@pytest.mark.parametrize("path", ["/api/system/specs", "/api/system/specs/", "/api/schema/"])
def test_it_refuses_wrong_methods(client: Client, path: str) -> None:
    reply = client.post(path, "{}", "application/json")
    assert error_of(reply, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert "GET" in reply["Allow"]


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml;q=0.5", "*/*", ""])
def test_it_answers_json_whatever_a_client_would_rather_have(client: Client, accept: str) -> None:
    reply = client.get("/api/system/specs?format=xml", headers={"Accept": accept})
    assert reply.status_code == 200
    assert reply["Content-Type"] == "application/json; charset=utf-8"


def view_that(raises: Exception) -> Any:
    @api_view(["GET"])
    def view(request: Request) -> Response:
        raise raises

    return view


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ZeroDivisionError("a secret"), 500, "INTERNAL_SERVER_ERROR"),
        (PermissionDenied(), 403, "PERMISSION_DENIED"),
        (ApiError("Taken.", status=409, code="TAKEN", existingModelId="x"), 409, "TAKEN"),
    ],
)
def test_views_that_fail_answer_in_shape(
    rf: RequestFactory,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
) -> None:
    reply = view_that(error)(rf.get("/api/x"))
    reply.render()
    body = error_of(reply, status)
    assert body["code"] == code
    assert "secret" not in body["error"]
    if status == 500:
        assert "GET /api/x failed" in caplog.text
        assert "a secret" in caplog.text
    if status == 409:
        assert body["existingModelId"] == "x"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 500])
def test_pages_of_django_become_errors_of_the_api(rf: RequestFactory, status: int) -> None:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("<h1>no</h1>", status=status)

    error_of(ApiPaths(page)(rf.get("/api/x")), status)
    outside = ApiPaths(page)(rf.get("/ui/x"))
    assert isinstance(outside, HttpResponse)
    assert outside.content == b"<h1>no</h1>"


def test_a_host_that_is_not_ours_is_refused_in_shape(client: Client) -> None:
    error_of(client.get("/api/nothing", headers={"Host": "bad host"}), 400)
    client.raise_request_exception = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models_app.api.system.hardware.current", _suspicious)
        error_of(client.get("/api/system/specs"), 500)


def _suspicious() -> None:
    raise SuspiciousOperation


@pytest.mark.parametrize(
    ("text", "value"), [("", False), ("0", False), ("FALSE", False), ("1", True), ("true", True)]
)
def test_switches_in_the_query(rf: RequestFactory, text: str, value: bool) -> None:
    assert truth(Request(rf.get(f"/?dry_run={text}")), "dry_run") is value


def test_values_in_the_query_that_make_no_sense_are_named(rf: RequestFactory) -> None:
    with pytest.raises(ApiError, match="dry_run must be 0 or 1"):
        truth(Request(rf.get("/?dry_run=maybe")), "dry_run")
    for text in ("soon", "-1", "nan", "1e9"):
        with pytest.raises(ApiError, match="wait must be"):
            number(Request(rf.get(f"/?wait={text}")), "wait", 1.0, 60.0)
    assert number(Request(rf.get("/?wait=2.5")), "wait", 1.0, 60.0) == 2.5
    assert number(Request(rf.get("/")), "wait", 1.0, 60.0) == 1.0


def test_names_that_are_no_utf_8_are_escaped() -> None:
    assert json.loads(Json().render({"path": "/models/\udcff"})) == {"path": "/models/\udcff"}
    assert Json().render({"path": "/models/ä"}) == '{"path":"/models/ä"}'.encode()
