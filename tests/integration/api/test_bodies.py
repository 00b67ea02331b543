"""What clients may send, and what they are told when it is something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models_app.api.bodies import MAX_BYTES
from models_app.models import ServerSettings
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db

TAKING: dict[str, dict[str, Any]] = {
    "/api/config": {"yaml": 1},
    "/api/config/validate": {"yaml": ["a"]},
    "/api/config/scan-folder": {"folderPaths": "/models"},
    "/api/config/add-model": {"filePath": 5},
    "/api/config/append-model": {"filePath": "/x.gguf", "options": {"forceVRAM": "10"}},
    "/api/config/folders": {"folderPaths": [1]},
    "/api/config/generate-all": {"folderPath": {"a": 1}},
    "/api/config/regenerate-from-db": {"options": {"enableJinja": "yes"}},
    "/api/config/model/fox-instruct": {"contextSize": "many"},
    "/api/settings/system": {"vramGB": "12"},
    "/api/settings/hf-api-key": {"apiKey": 12},
}
"""Every path that takes a body by POST, with one of a wrong type."""

NO_JSON = ["", "nonsense", "{", "[1]", '"text"', "5", "null", "NaN", '{"a": NaN}', "\xff"]


@pytest.mark.parametrize("path", TAKING)
def test_wrong_types_are_refused_by_name(api: Api, path: str) -> None:
    for slash in ("", "/"):
        reply = api("post", path + slash, TAKING[path], 400)
        assert reply["code"] == "INVALID_REQUEST"
        field = next(iter(TAKING[path]))
        assert field in reply["error"] or "options" in reply["error"]


@pytest.mark.parametrize("path", TAKING)
def test_what_is_no_json_object_is_refused(api: Api, path: str) -> None:
    for text in NO_JSON:
        if text == "" and path.endswith("regenerate-from-db"):
            continue  # an empty body stands for no options there
        assert api("post", path, text, 400)["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"yaml":' * 20_000, "9" * 10_000, '{"yaml": 1e99999}']
)
def test_bodies_made_to_hurt_are_refused(api: Api, text: str) -> None:
    api("post", "/api/config", text, 400)


def test_a_body_that_is_too_long_is_refused(api: Api) -> None:
    text = json.dumps({"yaml": "#" * MAX_BYTES})
    assert api("post", "/api/config", text, 413)["code"] == "BODY_TOO_LARGE"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "x/y"])
def test_json_is_read_whatever_its_content_type(api: Api, kind: str) -> None:
    reply = api("post", "/api/config/validate", {"yaml": "startPort: 9000"}, content_type=kind)
    assert reply["startPort"] == 9000


def test_names_of_fields_are_read_in_any_case(api: Api) -> None:
    assert api("post", "/api/config/validate", {"YAML": "startPort: 9000"})["startPort"] == 9000
    api("post", "/api/settings/system", {"preferredcontext": 4096, "somethingelse": 1})
    assert ServerSettings.current().preferred_context == 4096


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "filePath is required"),
        ({"filePath": ""}, "filePath is required"),
        ({"filePath": "x" * 5000}, "filePath Ensure this field has no more than 4096"),
        ({"filePath": None}, "filePath is required"),
        ({"filePath": "a\0b"}, "filePath Null characters are not allowed."),
        ({"filePath": "\ud800"}, "filePath Surrogate characters are not allowed: U+D800."),
        ({"filePath": "/a", "options": []}, "options Invalid data"),
        ({"filePath": "/a", "options": {"minContext": 1.5}}, "options.minContext must be a whole"),
        ({"filePath": "/a", "options": {"minContext": -1}}, "options.minContext must be at least"),
        (
            {"filePath": "/a", "options": {"minContext": 2**40}},
            "options.minContext must be at most",
        ),
        ({"filePath": "/a", "options": {"minContext": 7}}, "options.minContext must be at least"),
        ({"filePath": "/a", "options": {"minContext": True}}, "options.minContext must be a whole"),
        ({"filePath": "/a", "options": {"forceRAM": -1}}, "options.forceRAM must be >= 0"),
        ({"filePath": "/a", "options": {"forceRAM": 10**400}}, "options.forceRAM must be at most"),
        ({"filePath": "/a", "options": {"forceBackend": "x"}}, "options.forceBackend must be one"),
    ],
)
def test_the_error_names_the_field_and_what_it_must_be(api: Api, body: Any, error: str) -> None:
    assert api("post", "/api/config/append-model", body, 400)["error"].startswith(error)
