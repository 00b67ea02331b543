from __future__ import annotations

import pytest
from django.test import Client

from models_app import scan_runs
from models_app.models import ScanRun

pytestmark = pytest.mark.django_db

LIST = "/admin/models_app/scanrun/"


def test_a_look_names_its_folders_and_can_be_asked_for_again(admin_client: Client) -> None:
    run = scan_runs.request_look([("/srv/only-looked-at", True)])
    page = admin_client.get(LIST).content.decode()
    assert "only looked at: /srv/only-looked-at" in page
    chosen = {"action": "again", "_selected_action": [run.pk]}
    assert admin_client.post(LIST, chosen).status_code == 302
    assert [one.look_at for one in ScanRun.objects.all()] == [[["/srv/only-looked-at", True]]] * 2
