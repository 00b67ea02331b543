from __future__ import annotations

import pytest
from django.test import Client

from models_app.models import (
    MachineReport,
    ModelFolder,
    Revision,
    ScanRun,
)
from tests.integration.admin.pages import act, list_of, page_of, text_of

pytestmark = pytest.mark.django_db


def test_a_scan_shows_its_progress_and_can_be_repeated(
    admin_client: Client, registry: ModelFolder
) -> None:
    run = ScanRun.objects.get()
    page = text_of(admin_client.get(page_of(run)))
    assert "5 of 10 files" in page and "Another." in page
    ScanRun.objects.update(status=ScanRun.Status.FAILED)

    act(admin_client, "again", run)

    newest = ScanRun.objects.first()
    assert newest is not None and newest != run and newest.status == ScanRun.Status.QUEUED


def test_a_revision_shows_its_text(admin_client: Client, registry: ModelFolder) -> None:
    assert "models: {}" in text_of(admin_client.get(page_of(Revision.objects.get())))


def test_the_machine_opens_directly(admin_client: Client, registry: ModelFolder) -> None:
    page = text_of(admin_client.get(list_of(MachineReport), follow=True))

    assert "physical cores" in page
