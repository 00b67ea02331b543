from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from models_app import choices
from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.scan import scan
from tests.ggufs import write_reciter
from tests.integration.admin.pages import act, errors_of, list_of, page_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(registry: ModelFolder, models: Path) -> tuple[ServedModel, GgufFile]:
    """A big model, and a small one of the same vocabulary."""
    write_reciter(models / "grand.gguf", "One vocabulary for both.", layers=24)
    write_reciter(models / "tiny.gguf", "One vocabulary for both.")
    scan([registry])
    tiny = GgufFile.objects.get(relative_path="tiny.gguf")
    return ServedModel.objects.get(model_id="grand"), tiny


def test_the_pages_show_which_model_may_draft_for_which(
    admin_client: Client, pair: tuple[ServedModel, GgufFile]
) -> None:
    grand, tiny = pair
    assert grand.file is not None
    link = page_of(tiny)
    assert link in text_of(admin_client.get(page_of(grand)))
    assert link in text_of(admin_client.get(page_of(grand.file)))
    assert page_of(grand.file) in text_of(admin_client.get(link))


def test_a_person_switches_drafting_on_and_back_to_automatic(
    admin_client: Client, pair: tuple[ServedModel, GgufFile]
) -> None:
    grand, tiny = pair
    assert errors_of(admin_client, page_of(grand), use_draft="on", draft=tiny.pk) == {}
    grand.refresh_from_db()
    assert (grand.use_draft, grand.draft) == (True, tiny)
    assert "By hand: draft, use draft" in text_of(admin_client.get(list_of(ServedModel)))

    act(admin_client, "back_to_automatic", grand, fields_to_empty=list(choices.TUNING))
    grand.refresh_from_db()
    assert (grand.use_draft, grand.draft) == (False, None)


def test_a_draft_model_of_another_vocabulary_is_refused_in_words(
    admin_client: Client, pair: tuple[ServedModel, GgufFile]
) -> None:
    grand, _ = pair
    stranger = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")
    errors = errors_of(admin_client, page_of(grand), draft=stranger.pk)
    assert list(errors) == ["draft"]
    assert "same vocabulary" in errors["draft"][0]


def test_only_models_that_write_are_offered_as_draft_models(
    admin_client: Client, pair: tuple[ServedModel, GgufFile]
) -> None:
    query = {"app_label": "models_app", "model_name": "servedmodel", "field_name": "draft"}
    results = admin_client.get(reverse("admin:autocomplete"), query).json()["results"]
    offered = {item["text"] for item in results}
    assert "tiny.gguf" in offered
    assert not {name for name in offered if "mmproj" in name or "00002-of" in name}


def test_lists_show_what_a_model_can_take_in(
    admin_client: Client, pair: tuple[ServedModel, GgufFile]
) -> None:
    fox = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")
    assert fox.kind == "vision"
    for table in (ServedModel, GgufFile):
        rows = admin_client.get(list_of(table), {"kind": "vision"}).context["cl"].result_list
        assert len(rows) == 1
    assert "vision" in text_of(admin_client.get(list_of(ServedModel)))
