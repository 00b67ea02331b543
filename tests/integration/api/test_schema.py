"""The API's own description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

pytestmark = pytest.mark.django_db

NO_JSON = ("/api/events", "/api/logs/{name}/download")
"""Routes that answer with text."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format=openapi-json", stdout=out)
    described: dict[str, Any] = json.loads(out.getvalue())
    return described


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_is_described(schema: dict[str, Any]) -> None:
    routes = {
        route
        for route in _routes(get_resolver(), "/")
        if route.startswith("/api/") and not route.startswith(("/api/schema", "/api/docs"))
    }
    assert len(routes) > 4
    assert len(schema["paths"]) == len(routes) + 1  # and the event stream, which is no Django view


def _routes(resolver: URLResolver, prefix: str) -> list[str]:
    found = []
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _routes(pattern, route)
        elif isinstance(pattern, URLPattern) and not route.endswith("^api(/|$)"):
            found.append(route)
    return found


def test_a_client_can_be_generated_from_it(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(schema):
        assert not path.endswith("/"), path
        assert operation["summary"], path
        answer = operation["responses"]["200"]
        assert answer["content"], (path, method)
        if path not in NO_JSON:
            assert answer["content"]["application/json"]["schema"], (path, method)
            for status, response in operation["responses"].items():
                if status != "200":
                    reference = response["content"]["application/json"]["schema"]["$ref"]
                    assert reference.endswith("/Error"), (path, method, status)


def test_the_server_hands_it_out(client: Client, schema: dict[str, Any]) -> None:
    for path in ("/api/schema/", "/api/schema"):
        reply = client.get(path)
        assert reply.status_code == 200
        assert json.loads(reply.content)["paths"].keys() == schema["paths"].keys()
    assert yaml.safe_load(client.get("/api/schema.yaml").content)["openapi"].startswith("3.")


def test_the_pages_hold_nothing_inline(client: Client) -> None:
    for path in ("/api/docs/", "/api/docs"):
        reply = client.get(path)
        assert reply.status_code == 200
        assert "unsafe" not in reply["Content-Security-Policy"]
        assert b"<style" not in reply.content
        assert b"<script>" not in reply.content
        assert b"swagger-ui-bundle" in reply.content


def test_everything_it_refers_to_is_there(schema: dict[str, Any]) -> None:
    names = set(_references(schema))
    assert len(names) > 20
    assert names <= schema["components"]["schemas"].keys()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.removeprefix("#/components/schemas/")
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _references(part)
