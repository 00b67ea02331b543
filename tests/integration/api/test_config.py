from __future__ import annotations

import json

import pytest

from models_app.models import ModelFolder, ModelGroup, Revision, ServedModel, ServerSettings
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db

HAND = "exec sleep ${wait} --model /gone/a.gguf --port ${PORT}"


def test_it_shows_text_and_values(registry: ModelFolder, api: Api) -> None:
    ServerSettings.objects.update(macros={"wait": "60"})
    ServedModel.objects.create(model_id="owner/hand", cmd=f"{HAND} ${{MODEL_ID}}")
    group = ModelGroup.objects.create(name="large", swap=False, start_port=8200)
    ServedModel.objects.filter(model_id="sea").update(group=group)
    shown = api("get", "/api/config")
    assert "owner/hand" in shown["yaml"]
    config = shown["config"]
    assert config.keys() >= {"healthCheckTimeout", "logLevel", "startPort", "downloadDir", "macros"}
    assert config["macros"] == {"wait": "60"}
    hand = config["models"]["owner/hand"]
    assert hand["cmd"] == "exec sleep 60 --model /gone/a.gguf --port ${PORT} owner/hand"
    assert hand["proxy"] == "http://127.0.0.1:${PORT}"
    assert config["models"]["sea"]["name"] == "sea-f32"
    assert config["groups"]["large"] == {
        "swap": False,
        "exclusive": True,
        "persistent": False,
        "members": ["sea"],
        "startPort": 8200,
    }
    assert config["groups"]["(default)"]["members"] == ["fox-instruct", "owner/hand"]


def test_secrets_stand_in_the_text_alone(api: Api) -> None:
    ServerSettings.objects.update_or_create(pk=1, defaults={"macros": {"api_key": "sk-macro"}})
    ServedModel.objects.create(
        model_id="token-counter",
        cmd="sleep --api-key ${api_key} --hf-token hf_word ${PORT}",
        env=["HF_TOKEN=hf_env", "PATH=/bin", "KEY=${api_key}"],
    )
    shown = api("get", "/api/config")
    assert all(secret in shown["yaml"] for secret in ("sk-macro", "hf_word", "hf_env"))
    assert shown["config"]["macros"] == {"api_key": "********"}
    model = shown["config"]["models"]["token-counter"]
    assert model["cmd"] == "sleep --api-key ******** --hf-token ******** ${PORT}"
    assert model["env"] == ["HF_TOKEN=********", "PATH=/bin", "KEY=${api_key}"]


def test_a_command_with_a_fault_is_shown_as_it_is(api: Api) -> None:
    ServedModel.objects.create(model_id="a", cmd="sleep ${nothing} ${PORT}")
    assert api("get", "/api/config")["config"]["models"]["a"]["cmd"] == "sleep ${nothing} ${PORT}"


def test_what_it_shows_can_be_sent_back_and_changes_nothing(
    registry: ModelFolder, api: Api
) -> None:
    before = api("get", "/api/config")
    reply = api("post", "/api/config", {"yaml": before["yaml"], "config": {"ignored": True}})
    assert reply.keys() >= {"status", "backup", "requiresRestart", "restartMessage"}
    assert reply["status"] == "Configuration updated successfully"
    assert reply["effect"] == "No model is touched."
    assert api("get", "/api/config") == before


def test_the_text_is_all_there_is_unless_it_is_merged(registry: ModelFolder, api: Api) -> None:
    text = "logLevel: debug\nmodels:\n  added:\n    cmd: sleep 9 ${PORT}\n"
    merged = api("post", "/api/config?dry_run=1", {"yaml": text, "merge": True})
    assert (merged["added"], merged["removed"], merged["dryRun"]) == (["added"], [], True)
    replaced = api("post", "/api/config?dry_run=true", {"yaml": text})
    assert replaced["removed"] == ["fox-instruct", "sea"]
    assert ServerSettings.current().log_level == "info"
    reply = api("post", "/api/config", {"yaml": text})
    assert reply["dryRun"] is False
    assert ServerSettings.current().log_level == "debug"
    assert api("get", "/api/config")["config"]["models"].keys() == {"added"}
    backup = Revision.objects.get(pk=int(reply["backup"].split()[-1]))
    assert "fox-instruct" in backup.yaml


@pytest.mark.parametrize("body", [{}, {"yaml": ""}, {"yaml": " \n"}, {"yaml": None}])
def test_without_a_text_nothing_is_emptied(
    registry: ModelFolder, api: Api, body: dict[str, object]
) -> None:
    assert api("post", "/api/config", body, 400)["error"] == "yaml is required"
    assert api("get", "/api/config")["config"]["models"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("models: [", "line 2"),
        ("startPort: 0", "startPort"),
        ("a: 1\na: 2", "line 2"),
        ("models:\n  a:\n    cmd: x ${nothing}\n", "unknown macro"),
    ],
)
def test_a_text_with_a_fault_changes_nothing(
    registry: ModelFolder, api: Api, text: str, error: str
) -> None:
    reply = api("post", "/api/config", {"yaml": text}, 400)
    assert reply["error"].startswith("Invalid configuration: ")
    assert error in reply["error"]
    checked = api("post", "/api/config/validate", {"yaml": text}, 400)
    assert checked["valid"] is False
    assert checked["error"] == reply["error"]
    assert api("get", "/api/config")["config"]["models"].keys() == {"fox-instruct", "sea"}


def test_an_alias_that_is_taken_is_refused(registry: ModelFolder, api: Api) -> None:
    ServedModel.objects.get(model_id="sea").aliases.create(alias="mine")
    text = "models:\n  a:\n    cmd: sleep ${PORT}\n    aliases: [mine]\n"
    reply = api("post", "/api/config", {"yaml": text, "merge": True}, 400)
    assert "mine" in reply["error"]
    assert not ServedModel.objects.filter(model_id="a").exists()


CHECKED = """\
startPort: 8100
downloadDir: ./downloads
macros: {a: one, b: two}
models:
  one: {cmd: "sleep 1 ${PORT}"}
groups:
  large: {members: [one]}
"""


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_text_is_checked_by_get_and_post(api: Api, method: str) -> None:
    reply = (
        api("post", "/api/config/validate", {"yaml": CHECKED})
        if method == "post"
        else _get_with_body(api, {"yaml": CHECKED})
    )
    assert {name: reply[name] for name in reply if name != "warnings"} == {
        "valid": True,
        "modelCount": 1,
        "groupCount": 2,
        "macroCount": 2,
        "startPort": 8100,
        "downloadDir": "./downloads",
    }


def _get_with_body(api: Api, body: dict[str, str]) -> dict[str, object]:
    # Django's test client sends a body by GET only in this way.
    reply = api.client.generic("GET", "/api/config/validate", json.dumps(body))
    assert reply.status_code == 200
    found: dict[str, object] = reply.json()
    return found


def test_the_configuration_in_use_is_checked_when_none_is_sent(
    registry: ModelFolder, api: Api
) -> None:
    assert api("get", "/api/config/validate")["modelCount"] == 2
    assert api("get", "/api/config/validate?yaml=startPort:%209001")["startPort"] == 9001
    assert api("get", "/api/config/validate?yaml=models:%20[", status=400)["valid"] is False
    assert not ModelGroup.objects.exists()
