"""What a model's page offers besides its facts, and what stands there when no page can be made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from models_app import hardware, people, revisions
from models_app.engine_help import EngineDevice
from models_app.machine import GIB
from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.rights import Role
from proxy_app.log_files import log_path
from ui_app import error_pages

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> ServedModel:
    folder = ModelFolder.objects.create(path="/srv/models")
    file = GgufFile.objects.create(
        folder=folder,
        path="/srv/models/fox.gguf",
        relative_path="fox.gguf",
        size=2**28,
        mtime_ns=1,
        kind="chat",
        context_length=32768,
        last_seen_at=timezone.now(),
    )
    return ServedModel.objects.create(model_id="fox", file=file)


def test_the_changes_of_a_model_s_settings_stand_on_its_page(
    client: Client, model: ServedModel
) -> None:
    revisions.keep()
    ServedModel.objects.create(model_id="fox-2", cmd="run ${PORT}")
    revisions.keep()
    ServedModel.objects.filter(pk=model.pk).update(ttl=77)
    made = revisions.keep()
    assert made is not None
    text = client.get(f"/ui/models/{model.pk}/").content.decode()
    assert "model fox: ttl none -&gt; 77" in text
    assert f"/ui/configuration/history/{made.pk}/" in text
    assert "models added: fox-2" not in text


def test_the_gpus_of_a_model_are_chosen_on_its_page(client: Client, model: ServedModel) -> None:
    path = f"/ui/models/{model.pk}/"
    assert "GPUs" not in client.get(path).content.decode()
    cards = [EngineDevice(f"CUDA{at}", "NVIDIA L4", 24 * GIB, 24 * GIB) for at in (0, 1)]
    hardware.store(replace(hardware.detect(), devices=tuple(cards)))
    assert "CUDA1: NVIDIA L4" in client.get(path).content.decode()
    shown = client.get(path, {"gpus": ["CUDA1"]}).content.decode()
    assert "nothing is saved yet" in shown
    assert "--device CUDA1" in shown
    assert client.post(f"{path}tune/", {"gpus": ["CUDA1"]}).status_code == 302
    model.refresh_from_db()
    assert model.gpus == "CUDA1"
    client.post(f"{path}tune/", {"gpus": []})
    model.refresh_from_db()
    assert model.gpus == ""


def test_a_page_without_its_database_is_to_be_tried_again() -> None:
    request = RequestFactory().get("/ui/models/")
    try:
        raise OperationalError("the server closed the connection")
    except OperationalError:
        reply = error_pages.failed(request)
    assert reply.status_code == 503
    assert reply["Retry-After"] == "5"
    assert "The database does not answer" in reply.content.decode()
    assert error_pages.failed(request).status_code == 500


# ---- Who sees how it is started ------------------------------------------------------------------


def page_of(model: ServedModel, role: Role) -> str:
    client = Client()
    client.force_login(people.create(f"some-{role}", "correct horse 9", role))
    return client.get(f"/ui/models/{model.pk}/").content.decode()


def test_a_command_is_for_those_who_care_for_models_and_its_secrets_for_administrators() -> None:
    own = ServedModel.objects.create(model_id="own", cmd="engine --api-key sesame-7 --port ${PORT}")
    administrator = page_of(own, Role.ADMINISTRATOR)
    assert "--api-key sesame-7" in administrator
    curator = page_of(own, Role.CURATOR)
    assert "engine --api-key" in curator
    assert "sesame-7" not in curator
    assert "engine --" not in page_of(own, Role.USER)


def test_those_who_care_for_models_see_what_an_engine_said_last(
    model: ServedModel, settings: Any, tmp_path: Path
) -> None:
    settings.CLARACORE_HOME = tmp_path
    log = log_path(tmp_path, model.model_id)
    log.parent.mkdir(parents=True)
    log.write_text("a tensor is missing\n")
    page_of(model, Role.ADMINISTRATOR)
    assert "a tensor is missing" in page_of(model, Role.CURATOR)
    assert "a tensor is missing" not in page_of(model, Role.USER)


def test_what_cannot_be_tried_out_says_why_where_the_plan_stands(
    client: Client, model: ServedModel
) -> None:
    text = client.get(f"/ui/models/{model.pk}/", {"context": "7"}).content.decode()
    what_if = text.partition('id="what-if"')[2].partition('id="tune-form"')[0]
    assert "Context, in tokens: Ensure this value is greater than or equal to 256." in what_if
    assert "As it is started now." not in what_if


def test_a_look_at_other_settings_is_not_replaced_by_what_somebody_else_changes(
    client: Client, model: ServedModel
) -> None:
    path = f"/ui/models/{model.pk}/"
    assert "data-pending>" not in client.get(path).content.decode()
    assert "data-pending>" in client.get(path, {"context": "8192"}).content.decode()
