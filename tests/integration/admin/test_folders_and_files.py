from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from models_app import folders
from models_app.models import (
    GgufFile,
    ModelFolder,
    ScanRun,
    ServedModel,
)
from models_app.scan import scan
from tests.ggufs import write_reciter
from tests.integration.admin.pages import act, errors_of, list_of, page_of, text_of

pytestmark = pytest.mark.django_db


def test_a_folder_is_added_scanned_and_counted(
    admin_client: Client, models: Path, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    write_reciter(models / "fox.gguf", "Hello there.")
    address = reverse("admin:models_app_modelfolder_add")
    data = {"path": f"{models}/../models/", "recursive": "on", "enabled": "on"}

    page = text_of(admin_client.post(address, data, follow=True))

    folder = ModelFolder.objects.get()
    run = ScanRun.objects.get()
    assert (folder.path, list(run.folders.all())) == (str(models), [folder])
    assert f"scan {run.pk}" in page
    scan([folder])
    assert re.search(r'field-models">1<', text_of(admin_client.get(list_of(ModelFolder))))


def test_a_folder_that_cannot_be_tracked_says_why(admin_client: Client, models: Path) -> None:
    address = reverse("admin:models_app_modelfolder_add")
    (models / "sub").mkdir()
    (models / "file").touch()

    def complaint(path: str) -> str:
        response = admin_client.post(address, {"path": path, "recursive": "on", "enabled": "on"})
        return str(response.context["adminform"].form.errors["path"][0])

    assert "is not an absolute path" in complaint("models")
    assert complaint(f"{models}/gone") == f"{models}/gone does not exist."
    assert complaint(f"{models}/file") == f"{models}/file is not a folder."
    folders.add(models)
    assert complaint(str(models)) == f"This folder is tracked already, as {models}."
    assert complaint(f"{models}/sub") == (
        f"{models}/sub lies in {models}, which is tracked with the folders below it."
    )


def test_folders_are_scanned_enabled_and_disabled(
    admin_client: Client, registry: ModelFolder
) -> None:
    ScanRun.objects.all().delete()

    page = act(admin_client, "scan_now", registry)
    assert f"scan {ScanRun.objects.get().pk}" in page

    act(admin_client, "disable", registry)
    assert not ModelFolder.objects.get().enabled
    act(admin_client, "enable", registry)
    assert ModelFolder.objects.get().enabled


def test_removing_a_folder_takes_its_models_along_and_leaves_the_files(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    assert ServedModel.objects.exists()
    address = reverse("admin:models_app_modelfolder_delete", args=[registry.pk])

    assert "stay on disk" in text_of(admin_client.get(address))
    admin_client.post(address, {"post": "yes"})

    assert not ModelFolder.objects.exists() and not ServedModel.objects.exists()
    assert (models / "fox-1b-q4_k_m.gguf").exists()


def test_several_folders_are_removed_at_once(admin_client: Client, registry: ModelFolder) -> None:
    data = {"action": "delete_selected", "_selected_action": registry.pk, "post": "yes"}
    admin_client.post(list_of(ModelFolder), data)

    assert not ModelFolder.objects.exists() and not ServedModel.objects.exists()


def test_a_file_shows_its_facts_or_why_there_are_none(
    admin_client: Client, registry: ModelFolder
) -> None:
    fox = text_of(
        admin_client.get(page_of(GgufFile.objects.get(relative_path__contains="fox-1b-q")))
    )
    assert "Reciter" in fox and "llama" in fox and "mmproj-fox-1b.gguf" in fox
    short = text_of(admin_client.get(page_of(GgufFile.objects.get(relative_path="short.gguf"))))
    assert "1,000 bytes are missing" in short
    assert "1,000 bytes are missing" in text_of(admin_client.get(list_of(GgufFile)))


@pytest.mark.parametrize(
    "filters",
    [
        {"state__exact": "unreadable"},
        {"state__in": "unreadable,incomplete"},
        {"kind": "chat"},
        {"architecture": "clip"},
        {"quantization": "F32"},
    ],
)
def test_files_can_be_filtered(
    admin_client: Client, registry: ModelFolder, filters: dict[str, str]
) -> None:
    response = admin_client.get(list_of(GgufFile), filters)

    assert response.status_code == 200
    assert 0 < response.context["cl"].result_count < GgufFile.objects.count()


def test_a_deleted_model_can_be_made_again(admin_client: Client, registry: ModelFolder) -> None:
    fox = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")
    ServedModel.objects.get(file=fox).delete()

    assert "Made 1 models" in act(admin_client, "make_models", fox)
    assert ServedModel.objects.get(file=fox).model_id == "fox-1b"
    assert "Made 0 models" in act(admin_client, "make_models", fox)


def test_files_that_are_gone_can_be_forgotten(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])
    rows = list(GgufFile.objects.all())

    assert "Forgot 1 files" in act(admin_client, "forget", *rows)
    assert GgufFile.objects.count() == len(rows) - 1
    assert "None of these files is gone" in act(admin_client, "forget", rows[-1])


def test_the_folders_of_files_can_be_scanned(admin_client: Client, registry: ModelFolder) -> None:
    ScanRun.objects.all().delete()
    act(admin_client, "scan_folders", *GgufFile.objects.all())

    assert list(ScanRun.objects.get().folders.all()) == [registry]


def test_a_projector_is_chosen_among_projectors(
    admin_client: Client, registry: ModelFolder
) -> None:
    query = {"app_label": "models_app", "model_name": "servedmodel"}
    address = reverse("admin:autocomplete")

    def offered(field: str) -> set[str]:
        found = admin_client.get(address, {**query, "field_name": field}).json()["results"]
        return {item["text"] for item in found}

    assert offered("projector") == {"mmproj-fox-1b.gguf"}
    assert "fox-1b-q4_k_m.gguf" in offered("file")


def test_a_folder_around_a_tracked_one_is_refused_unless_it_stays_apart(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    address = reverse("admin:models_app_modelfolder_add")
    data = {"path": str(models.parent), "enabled": "on"}

    errors = errors_of(admin_client, address, **data, recursive="on")
    assert f"It holds {models}, tracked already" in errors["path"][0]
    assert admin_client.post(address, data).status_code == 302
