from __future__ import annotations

import pytest
from django.test import Client

from downloads_app.models import Download, DownloadFile, DownloadSettings
from tests.integration.admin.pages import list_of, page_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def download() -> Download:
    row = Download.objects.create(model_id="my-fox", folder="/models", total_bytes=1000)
    DownloadFile.objects.create(download=row, url="https://huggingface.co/x", name="fox.gguf")
    return row


def test_downloads_are_listed_and_shown(admin_client: Client, download: Download) -> None:
    Download.objects.update(status="failed", error="The disk is full.", done_bytes=500)
    page = text_of(admin_client.get(list_of(Download)))
    assert "my-fox" in page and "The disk is full." in page and "50.0 %" in page
    assert "fox.gguf" in text_of(admin_client.get(page_of(download)))


def test_actions_are_the_same_verbs(admin_client: Client, download: Download) -> None:
    for action, status in (("pause", "paused"), ("resume", "pending"), ("cancel", "cancelled")):
        body = {"action": action, "_selected_action": [download.pk]}
        admin_client.post(list_of(Download), body)
        download.refresh_from_db()
        assert download.status == status
    page = text_of(
        admin_client.post(
            list_of(Download),
            {"action": "resume", "_selected_action": [download.pk]},
            follow=True,
        )
    )
    assert "Start it again instead" in page


def test_settings_are_one_page(admin_client: Client) -> None:
    row = DownloadSettings.current()
    body = {"at_once": "3", "connections": "6", "rate_limit": "0", "hosts": "models.example.org"}
    admin_client.post(page_of(row), body)
    row.refresh_from_db()
    assert (row.at_once, row.connections, row.hosts) == (3, 6, "models.example.org")
