"""What a curator or a key that is limited to some models gets of the pages and the API."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from models_app import api_keys, people
from models_app.access import is_open_to_limited, keeps_within_reach, needs
from models_app.models import GgufFile, ModelAlias, PersonLimits, ServedModel
from models_app.models.folders import ModelFolder
from models_app.rights import Bound, Rights, Role, Scope
from proxy_app import questions, reach
from proxy_app.errors import ModelNotFound
from proxy_app.keys import Caller
from proxy_app.lineup import Lineup
from proxy_app.serving import SERVING

BOTH = frozenset({Scope.INFERENCE, Scope.MANAGE})
SEA = (Bound(frozenset({"sea"})),)


@pytest.fixture
def models(db: None) -> None:
    for name in ("fox", "sea"):
        ServedModel.objects.create(model_id=name, cmd="engine --port ${PORT}")


@pytest.fixture
def curator(models: None) -> Client:
    people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    cat = people.create("cat", "correct horse 9", Role.CURATOR)
    PersonLimits.objects.create(person=cat, allowed_models=["sea"])
    return signed_in(cat)


def signed_in(user: User) -> Client:
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def pin(client: Client, name: str) -> bool:
    client.post("/ui/models/act/", {"pin": name})
    return ServedModel.objects.get(model_id=name).pinned


def test_who_manages_all_models_is_who_is_not_limited_or_decides_about_limits() -> None:
    assert Rights(scopes=BOTH).manages_all
    assert not Rights(scopes=BOTH, bounds=SEA).manages_all
    assert Rights(scopes=BOTH | {Scope.ADMIN}, bounds=SEA).manages_all
    assert not Rights(scopes=frozenset({Scope.INFERENCE})).manages_all


def test_a_view_that_says_nothing_of_limits_is_closed_to_who_manages_some_models() -> None:
    def view(request: Any) -> None: ...

    assert not is_open_to_limited(needs(Scope.MANAGE)(view), "GET")
    assert is_open_to_limited(keeps_within_reach(view), "GET")
    assert is_open_to_limited(needs(Scope.INFERENCE)(lambda request: None), "GET")


def test_a_limited_curator_pins_and_tunes_their_own_models_only(curator: Client) -> None:
    assert pin(curator, "sea") and not pin(curator, "fox")
    assert (
        "You may not use the model &#x27;fox&#x27;" in curator.get("/ui/models/").content.decode()
    )
    fox = ServedModel.objects.get(model_id="fox")
    assert curator.get(f"/ui/models/{fox.pk}/").status_code == 404
    assert curator.post(f"/ui/models/{fox.pk}/tune/", {"context": "4096"}).status_code == 404


def test_an_unknown_name_suggests_no_model_out_of_reach(
    curator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> None:
        raise ModelNotFound(name, ["fox"])

    monkeypatch.setattr(SERVING, "find", find)
    told = curator.post("/ui/models/act/", {"load": "fxo"}, follow=True).text
    assert "does not exist" in told and "Did you mean" not in told


def test_an_alias_out_of_reach_does_not_tell_the_id(models: None) -> None:
    ModelAlias.objects.create(model=ServedModel.objects.get(model_id="fox"), alias="pet")
    _, key = api_keys.create("some", scopes=["manage"], allowed_models=["sea"])
    client = Client(SERVER_NAME="localhost", headers={"X-API-Key": key})
    for refused in (client.get("/api/models/pet/plan"), client.delete("/api/config/models/pet")):
        assert refused.status_code == 403
        assert "pet" in refused.text and "fox" not in refused.text


def test_the_pages_of_all_models_are_neither_offered_nor_open(curator: Client) -> None:
    page = curator.get("/ui/models/").text
    assert 'href="/ui/logs/"' in page
    for path in ("/ui/setup/", "/ui/downloads/", "/ui/configuration/", "/ui/engines/"):
        assert f'href="{path}"' not in page
        refused = curator.get(path)
        assert refused.status_code == 403 and "limited to some models" in refused.text
    assert curator.get("/admin/models_app/servedmodel/").status_code == 403
    assert curator.get("/ui/logs/").status_code == 200


def test_files_that_cannot_be_served_are_told_to_nobody_who_is_limited(curator: Client) -> None:
    folder = ModelFolder.objects.create(path="/models")
    GgufFile.objects.create(
        folder=folder,
        path="/models/fox-half.gguf",
        relative_path="fox-half.gguf",
        size=1,
        mtime_ns=1,
        last_seen_at=timezone.now(),
        state=GgufFile.State.INCOMPLETE,
        problem="It ends too early.",
    )
    assert "fox-half" not in curator.get("/ui/models/").text
    root = signed_in(User.objects.get(username="root"))
    assert "fox-half" in root.get("/ui/models/").text


def test_activity_offers_only_models_within_reach(curator: Client) -> None:
    page = curator.get("/ui/activity/").text
    assert "sea" in page and "fox" not in page


def test_an_administrator_with_limits_still_looks_after_everything(models: None) -> None:
    root = people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    PersonLimits.objects.create(person=root, allowed_models=["sea"])
    client = signed_in(root)
    assert client.get("/ui/setup/").status_code == 200
    assert client.get("/admin/models_app/servedmodel/").status_code == 200
    assert pin(client, "fox")
    assert 'data-model="fox"' in client.get("/ui/models/").text
    fox = ServedModel.objects.get(model_id="fox")
    assert client.get(f"/ui/models/{fox.pk}/").status_code == 200


def test_a_limited_key_adds_no_models(models: None) -> None:
    _, key = api_keys.create("some", scopes=["manage"], allowed_models=["sea"])
    client = Client(SERVER_NAME="localhost", headers={"X-API-Key": key})
    body: dict[str, Any] = {"filePath": "/models/new.gguf"}
    for path in ("append-model", "add-model", "scan-folder", "generate-all"):
        refused = client.post(f"/api/config/{path}", body, content_type="application/json")
        assert refused.status_code == 403
        assert refused.json()["code"] == "LIMITED_TO_MODELS"


def test_what_a_load_would_do_names_no_model_out_of_reach() -> None:
    plan = {"evicts": ["fox", "sea"], "waitsFor": ["fox"], "behind": [], "fits": True}
    limited = Caller(rights=Rights(scopes=BOTH, bounds=SEA))
    told = reach.plan_within(limited, Lineup(), plan)
    assert told == {"evicts": ["sea"], "waitsFor": [], "behind": [], "fits": True}
    assert reach.plan_within(Caller(rights=Rights(scopes=BOTH)), Lineup(), plan) == plan


def test_who_waits_is_told_that_another_model_is_in_the_way(curator: Client) -> None:
    line = {
        "state": "stopped",
        "inFlight": 0,
        "concurrency": 1,
        "queued": 1,
        "queueLength": 9,
        "loadSeconds": None,
        "answerSeconds": None,
        "readyInSeconds": None,
        "requests": [],
        "elapsed": None,
    }
    plan = {"behind": [], "waitsFor": ["fox"], "evicts": ["fox"], "fits": True}
    told = {
        "models": [{**line, "model": name, "plan": dict(plan)} for name in ("fox", "sea")],
        "memory": [],
        "waiting": 2,
        "maxWaitSeconds": 20,
        "live": [],
        "virtual": {},
    }
    questions.ask_elsewhere(lambda name: copy.deepcopy(told) if name == "queue" else "1")
    try:
        page = curator.get("/ui/queue/").text
        assert "fox" not in page and "Another model is in the way" in page
        root = signed_in(User.objects.get(username="root"))
        assert "fox is in the way" in root.get("/ui/queue/").text
        waits = "/ui/playground/wait/?model="
        assert curator.get(f"{waits}fox").json() == {"state": "stopped"}
        sea = curator.get(f"{waits}sea").json()
        assert sea["waitsFor"] == sea["evicts"] == ["Another model"]
        assert root.get(f"{waits}fox").json()["waitsFor"] == ["fox"]
    finally:
        questions.ask_elsewhere(None)
