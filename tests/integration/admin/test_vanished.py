from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app import moved
from models_app.models import AuditEntry, GgufFile, ModelAlias, ModelFolder, ServedModel
from models_app.scan import scan
from tests.integration.admin.pages import text_of

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:models_app_gguffile_vanished")


def move_fox(registry: ModelFolder, models: Path) -> tuple[GgufFile, GgufFile]:
    """The file as it was, and its copy, which was found before the first one went.

    A scan itself follows a file that is moved at once.
    """
    (models / "attic").mkdir()
    shutil.copy2(models / "fox-1b-q4_k_m.gguf", models / "attic")
    scan([registry])
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])
    gone = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")
    return gone, GgufFile.objects.get(relative_path="attic/fox-1b-q4_k_m.gguf")


def test_a_file_that_is_gone_is_shown_with_what_waits_for_it(
    admin_client: Client, registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    assert "No file is missing" in text_of(admin_client.get(PAGE))
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])
    ServedModel.objects.create(model_id="orphan")

    page = text_of(admin_client.get(PAGE))
    assert "fox-1b-q4_k_m.gguf" in page and ">fox-1b</a>" in page
    assert "Models without a file" in page and ">orphan</a>" in page


def test_a_moved_file_keeps_the_model_with_its_id_and_settings(
    admin_client: Client, registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(context=512)
    gone, twin = move_fox(registry, models)
    assert "Perhaps moved to" in text_of(admin_client.get(PAGE))

    reply = admin_client.post(PAGE, {"take_over": f"{gone.pk}:{twin.pk}"}, follow=True)

    assert "is served in its place, as 1 models" in text_of(reply)
    fox.refresh_from_db()
    assert (fox.model_id, fox.file, fox.context) == ("fox-1b", twin, 512)
    assert list(ServedModel.objects.filter(file=twin)) == [fox]
    assert not GgufFile.objects.filter(pk=gone.pk).exists()
    assert not ModelAlias.objects.exclude(model=fox).filter(alias__startswith="fox").exists()
    noted = AuditEntry.objects.latest("pk")
    assert (noted.who, noted.what) == ("admin", "admin: gguffile vanished")


def test_only_a_twin_takes_the_place_of_a_file_that_is_gone(
    admin_client: Client, registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    gone, _ = move_fox(registry, models)
    other = GgufFile.objects.get(relative_path="big-00001-of-00002.gguf")

    reply = admin_client.post(PAGE, {"take_over": f"{gone.pk}:{other.pk}"}, follow=True)
    assert "cannot take the place" in text_of(reply)
    for nonsense in ("", "x", "1:x", f"{gone.pk}:"):
        assert admin_client.post(PAGE, {"take_over": nonsense}).status_code == 404
    fox.refresh_from_db()
    assert fox.file == gone


def test_many_vanished_files_take_as_many_queries_as_one(
    registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            moved.vanished()
        return len(captured)

    one = queries()
    GgufFile.objects.update(state=GgufFile.State.VANISHED)
    assert queries() == one
