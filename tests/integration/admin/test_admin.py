from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app.models import (
    EngineBuild,
    GgufFile,
    MachineReport,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)
from models_app.scan import scan
from tests.integration.admin.pages import list_of, page_of, text_of

pytestmark = pytest.mark.django_db

TABLES = (
    EngineBuild,
    GgufFile,
    MachineReport,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)


@pytest.mark.parametrize("table", TABLES)
def test_every_list_and_page_answers(
    admin_client: Client, registry: ModelFolder, table: type[Any]
) -> None:
    text_of(admin_client.get(list_of(table), follow=True))
    for row in table.objects.all():
        text_of(admin_client.get(page_of(row)))
    for word in ("fox", "%", "\x00", "'\""):
        assert admin_client.get(list_of(table), {"q": word}, follow=True).status_code == 200


@pytest.mark.parametrize("table", (ModelFolder, ModelGroup, ServedModel))
def test_every_form_for_a_new_row_answers(admin_client: Client, table: type[Any]) -> None:
    text_of(admin_client.get(reverse(f"admin:models_app_{table._meta.model_name}_add")))


@pytest.mark.parametrize("table", (EngineBuild, GgufFile, MachineReport, Revision, ScanRun))
def test_what_the_server_writes_can_only_be_looked_at(
    admin_client: Client, registry: ModelFolder, table: type[Any]
) -> None:
    row = table.objects.first()
    name = f"admin:models_app_{table._meta.model_name}"

    assert admin_client.get(reverse(f"{name}_add")).status_code == 403
    assert admin_client.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403
    assert admin_client.post(page_of(row), {"path": "x"}).status_code == 403


def fill(folder: ModelFolder, models: Path, count: int) -> None:
    for number in range(count):
        shutil.copy(models / "fox-1b-q4_k_m.gguf", models / f"copy{number:03d}-q8_0.gguf")
    scan([folder])
    group = ModelGroup.objects.get()
    ServedModel.objects.update(group=group)
    for number in range(count):
        other = ModelGroup.objects.create(name=f"group {number}")
        ServedModel.objects.filter(model_id=f"copy{number:03d}").update(group=other)
        Revision.objects.create(digest=f"{number:064d}", yaml="models: {}\n")
        ScanRun.objects.create().folders.add(folder)
        ModelFolder.objects.create(path=f"/no/such/folder{number}")
        EngineBuild.objects.create(path=f"/opt/{number}/llama-server", size=1, mtime_ns=1)


@pytest.mark.parametrize("table", [t for t in TABLES if t not in (MachineReport, ServerSettings)])
def test_a_long_list_takes_no_more_queries_than_a_short_one_but_those_that_count_it(
    admin_client: Client, registry: ModelFolder, models: Path, table: type[Any]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            text_of(admin_client.get(list_of(table)))
        return len(captured)

    fill(registry, models, 20)
    short = queries()
    ModelGroup.objects.exclude(name="small").delete()
    for other in (Revision, ScanRun):
        other.objects.all().delete()
    EngineBuild.objects.filter(active=False).delete()
    ModelFolder.objects.exclude(pk=registry.pk).delete()
    fill(registry, models, 200)

    # A page that holds all rows needs no count.
    assert queries() <= short + 1
