"""What a model's page offers besides its facts, and what stands there when no page can be made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from models_app import hardware, revisions
from models_app.engine_help import EngineDevice
from models_app.machine import GIB
from models_app.models import GgufFile, ModelFolder, ServedModel
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
