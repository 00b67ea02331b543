from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from models_app.learned import Build
from models_app.learning import learn
from models_app.measured import Reading
from models_app.models import EngineBuild, LoadRecord, ServedModel
from models_app.plans import PlanContext, command_text
from tests.integration.admin.pages import list_of, page_of, text_of

pytestmark = pytest.mark.django_db

MIB = 1024**2


@pytest.fixture
def loaded(fox: ServedModel, tmp_path: Path) -> LoadRecord:
    binary = tmp_path / "llama-server"
    binary.write_bytes(b"an engine")
    build = Build.of_binary(str(binary))
    EngineBuild.objects.update(path=build.path, size=build.size, mtime_ns=build.mtime_ns, flags=[])
    argv = command_text(fox, PlanContext.load()).split()
    row = learn("fox-1b", argv, Reading(0, 0, 0, 300 * MIB), 1.25)
    assert row is not None and row.error is not None
    return row


def test_loads_are_listed_with_the_error_of_the_prediction(
    admin_client: Client, loaded: LoadRecord
) -> None:
    page = text_of(admin_client.get(list_of(LoadRecord)))
    assert "fox-1b-q4_k_m.gguf" in page
    assert "1.2 s" in page and " %" in page
    details = text_of(admin_client.get(page_of(loaded)))
    assert "--ctx-size" in details and "CPU" in details


def test_loads_cannot_be_changed(admin_client: Client, loaded: LoadRecord) -> None:
    assert admin_client.post(page_of(loaded), {"load_seconds": "0"}).status_code == 403
    assert admin_client.post(f"{list_of(LoadRecord)}add/").status_code == 403
    assert "Delete" not in text_of(admin_client.get(page_of(loaded)))


def test_a_model_shows_its_newest_loads(
    admin_client: Client, fox: ServedModel, loaded: LoadRecord
) -> None:
    page = text_of(admin_client.get(page_of(fox)))
    assert page_of(loaded) in page
    assert "Measured on" in page
