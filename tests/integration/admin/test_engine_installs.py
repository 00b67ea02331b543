from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from models_app.models import EngineBuild, EngineInstall, GgufFile, ModelFolder, ServedModel
from models_app.plans import PlanContext, command_text
from tests.integration.admin.pages import list_of, page_of, text_of

pytestmark = pytest.mark.django_db

Status = EngineInstall.Status


@pytest.fixture
def engine(tmp_path: Path, settings: Any) -> EngineInstall:
    """A build that is ready."""
    settings.CLARACORE_HOME = tmp_path / "home"
    folder = tmp_path / "home" / "engines" / "b9001-cpu"
    folder.mkdir(parents=True)
    binary = folder / "llama-server"
    binary.write_text("#!/bin/sh\n")
    build = EngineBuild.objects.create(
        path=str(binary), size=1, mtime_ns=1, flags=["--model FNAME", "--ctx-size N"]
    )
    return EngineInstall.objects.create(
        status=Status.READY,
        version="b9001",
        backend="cpu",
        folder=str(folder),
        binary=str(binary),
        build=build,
        files=[{"name": "llama-b9001-bin-ubuntu-x64.tar.gz", "sha256": "ab" * 32}],
    )


def act(client: Client, action: str, *rows: EngineInstall) -> str:
    body = {"action": action, "_selected_action": [row.pk for row in rows]}
    return text_of(client.post(list_of(EngineInstall), body, follow=True))


def test_builds_are_listed_and_shown(admin_client: Client, engine: EngineInstall) -> None:
    EngineInstall.objects.create(status=Status.FAILED, version="b9002", reason="No libcudart.")
    page = text_of(admin_client.get(list_of(EngineInstall)))
    assert "b9001 cpu" in page and "b9002" in page and "No libcudart." in page
    assert "llama-b9001-bin-ubuntu-x64.tar.gz" in text_of(admin_client.get(page_of(engine)))


def test_one_is_asked_for_by_a_form(admin_client: Client, engine: EngineInstall) -> None:
    address = reverse("admin:models_app_engineinstall_add")
    assert admin_client.get(address).status_code == 200
    wrong = text_of(admin_client.post(address, {"source": "archive", "origin": "/nowhere.zip"}))
    assert "no .zip or .tar.gz file on this server" in wrong
    admin_client.post(address, {"source": "release", "version": "b9003", "wanted": "on"})
    row = EngineInstall.objects.get(version="b9003")
    assert (row.status, row.wanted) == (Status.QUEUED, True)


def test_one_is_used_once_it_was_tried(admin_client: Client, engine: EngineInstall) -> None:
    assert "is tried now" in act(admin_client, "use", engine)
    engine.refresh_from_db()
    assert (engine.status, engine.wanted, engine.active) == (Status.TRYING, True, False)


def test_the_active_one_is_not_removed_and_others_are(
    admin_client: Client, engine: EngineInstall
) -> None:
    EngineInstall.objects.update(active=True)
    assert "it is the active one" in act(admin_client, "remove_builds", engine)
    EngineInstall.objects.update(active=False)
    act(admin_client, "remove_builds", engine)
    assert not EngineInstall.objects.exists()
    assert not Path(engine.folder).exists()


def test_a_model_is_planned_with_the_build_it_is_pinned_to(
    registry: ModelFolder, engine: EngineInstall
) -> None:
    model = ServedModel.objects.get(file=GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf"))
    context = PlanContext.load()
    assert command_text(model, context).startswith("/opt/llama-server")
    model.engine = engine.build
    command = command_text(model, context)
    assert command.startswith(engine.binary)
    assert "--ctx-size" in command and "--threads" not in command  # only what it understands
