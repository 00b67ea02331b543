from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Any

import pytest

from models_app import api_keys, hardware, hf_token
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.models import ModelFolder, Revision, ServedModel, ServerSettings
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db

SYSTEM = "/api/settings/system"
TOKEN = "/api/settings/hf-api-key"

DOCUMENTED: dict[str, Any] = {
    "gpuType": "nvidia",
    "backend": "cuda",
    "vramGB": 12.0,
    "ramGB": 32.0,
    "preferredContext": 65536,
    "throughputFirst": True,
    "enableJinja": True,
    "requireApiKey": False,
}


def carrying(key: str) -> dict[str, Any]:
    """The header that carries a key, if there is one."""
    return {"X-API-Key": key} if key else {}


def settings(api: Api, key: str = "") -> dict[str, Any]:
    found: dict[str, Any] = api("get", SYSTEM, **carrying(key))["settings"]
    return found


def test_before_the_first_save_it_tells_what_was_detected(api: Api) -> None:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    found = settings(api)
    assert DOCUMENTED.keys() <= found.keys()
    assert (found["gpuType"], found["backend"]) == ("cpu", "cpu")
    assert (found["vramGB"], found["ramGB"]) == (0.0, 16.0)
    assert found["preferredContext"] == 32768


def test_the_documented_example_is_kept(api: Api) -> None:
    example = {**DOCUMENTED, "requireApiKey": True, "apiKey": "your-secret-key"}
    assert api("post", SYSTEM + "/", example)["status"] == "saved"
    api("get", SYSTEM, status=401)
    found = settings(api, "your-secret-key")
    assert {**DOCUMENTED, "requireApiKey": True}.items() <= found.items()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"requireApiKey": False}, DOCUMENTED),
        (
            {"vramGB": 0, "ramGB": 0, "preferredContext": 0, "backend": "", "gpuType": ""},
            DOCUMENTED,
        ),
        ({"throughputFirst": False}, {**DOCUMENTED, "throughputFirst": False}),
        ({"enableJinja": None, "preferredContext": 8192}, {**DOCUMENTED, "preferredContext": 8192}),
        ({}, DOCUMENTED),
    ],
)
def test_what_a_save_leaves_out_stays(api: Api, sent: dict[str, Any], kept: dict[str, Any]) -> None:
    """In the first implementation a save without them reset the switches and erased the key."""
    api("post", SYSTEM, DOCUMENTED)
    api("post", SYSTEM, sent)
    assert kept.items() <= settings(api).items()


def test_null_is_detected_again(api: Api) -> None:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    api("post", SYSTEM, DOCUMENTED)
    api("post", SYSTEM, {"vramGB": None, "ramGB": None, "backend": None, "gpuType": None})
    assert settings(api)["ramGB"] == 16.0
    assert ServerSettings.current().backend == ""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"ramGB": -1}, "ramGB must be >= 0"),
        ({"vramGB": -0.5}, "vramGB must be >= 0"),
        ({"preferredContext": -1}, "preferredContext must be at least 0"),
        ({"preferredContext": 100}, "preferredContext must be at least 256"),
        ({"backend": "abacus"}, "backend must be one of"),
        ({"requireApiKey": True}, "requireApiKey=true needs a non-empty apiKey"),
        ({"requireApiKey": True, "apiKey": ""}, "requireApiKey=true needs a non-empty apiKey"),
        ({"apiKey": " a "}, "An API key holds visible ASCII"),
        ({"requireApiKey": "true"}, "requireApiKey must be true or false"),
    ],
)
def test_settings_that_cannot_be_are_refused_whole(
    api: Api, body: dict[str, Any], error: str
) -> None:
    reply = api("post", SYSTEM, {"gpuType": "amd", **body}, 400)
    assert reply["error"].startswith(error)
    assert ServerSettings.current().gpu_type == ""
    assert not api_keys.has_shared()


def test_the_key_is_kept_and_never_told(registry: ModelFolder, api: Api) -> None:
    api("post", SYSTEM, {"apiKey": "sesame-opens", "requireApiKey": True})
    key = carrying("sesame-opens")
    api("post", SYSTEM, {"requireApiKey": False}, **key)
    api("post", SYSTEM, {"requireApiKey": True, "apiKey": ""})
    found = settings(api, "sesame-opens")
    assert (found["requireApiKey"], found["apiKeyConfigured"]) == (True, True)
    api("post", "/api/config/model/sea", {"contextSize": 512}, **key)
    for path in (SYSTEM, "/api/config", "/api/schema"):
        assert "sesame-opens" not in str(api("get", path, **key))
    for revision in Revision.objects.all():
        assert "sesame-opens" not in revision.yaml


def test_a_save_tells_what_restarts(registry: ModelFolder, api: Api) -> None:
    tried = api("post", SYSTEM + "?dry_run=1", {"preferredContext": 512, "minContext": 512})
    assert tried["changed"] == ["fox-instruct", "sea"]
    assert ServerSettings.current().preferred_context == 32768
    assert ServedModel.objects.filter(context=None).count() == 2


@pytest.fixture
def no_token() -> Iterator[None]:
    hf_token.save("")
    yield
    hf_token.save("")


def test_the_token_is_kept_in_a_file_of_its_own(api: Api, no_token: None) -> None:
    assert api("get", TOKEN) == {"apiKey": "", "configured": False}
    tried = api("post", TOKEN + "?dry_run=1", {"apiKey": "hf_your_token_here"})
    assert (tried["status"], tried["dryRun"]) == ("saved", True)
    assert hf_token.read() == ""
    saved = api("post", TOKEN, {"apiKey": " hf_your_token_here\n"})
    assert (saved["status"], saved["effect"]) == ("saved", "No model is touched.")
    assert api("get", TOKEN + "/") == {"apiKey": "", "configured": True}
    assert hf_token.read() == "hf_your_token_here"
    assert stat.S_IMODE(hf_token.path().stat().st_mode) == 0o600
    api("post", TOKEN, {"apiKey": ""})
    assert api("get", TOKEN) == {"apiKey": "", "configured": False}


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ä", "x" * 600])
def test_what_cannot_be_a_token_is_refused(api: Api, no_token: None, token: str) -> None:
    api("post", TOKEN, {"apiKey": token}, 400)
    assert hf_token.read() == ""


def test_the_token_is_required(api: Api, no_token: None) -> None:
    assert api("post", TOKEN, {}, 400)["error"] == "apiKey is required"
