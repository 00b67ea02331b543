from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from models_app import duplicates
from models_app.duplicates import Why
from models_app.models import ModelFolder, ServedModel
from models_app.scan import scan
from tests.ggufs import write_reciter
from tests.integration.admin.pages import act, text_of

pytestmark = pytest.mark.django_db

PAGE = "admin:models_app_servedmodel_duplicates"


def found(why: Why) -> list[list[str]]:
    return [[model.model_id for model in one.models] for one in duplicates.find() if one.why is why]


def test_models_of_one_file_are_found(fox: ServedModel) -> None:
    ServedModel.objects.create(model_id="slow-fox", file=fox.file, slots=1)

    assert found(Why.FILE) == [["fox-1b", "slow-fox"]]
    assert found(Why.CONTENT) == found(Why.NAME) == []


def test_copies_are_found_by_size_and_contents(
    registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    shutil.copy(models / "fox-1b-q4_k_m.gguf", models / "renamed-q4_k_m.gguf")
    other = shutil.copy(models / "fox-1b-q4_k_m.gguf", models / "other-q4_k_m.gguf")
    with open(other, "r+b") as file:  # as large, with other weights
        file.seek(-8, os.SEEK_END)
        file.write(b"\x01" * 8)
    scan([registry])

    assert found(Why.CONTENT) == [["fox-1b", "renamed"]]
    (copies,) = (one for one in duplicates.find() if one.why is Why.CONTENT)
    assert copies.wasted == (models / "renamed-q4_k_m.gguf").stat().st_size


def test_a_link_is_the_same_file_and_wastes_nothing(
    registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    (models / "linked-q4_k_m.gguf").symlink_to(models / "fox-1b-q4_k_m.gguf")
    scan([registry])
    if not ServedModel.objects.filter(model_id="linked").exists():
        ServedModel.objects.create(model_id="linked", file=fox.file)

    assert found(Why.FILE) == [["fox-1b", "linked"]]
    assert found(Why.CONTENT) == []


def test_forms_of_one_model_are_found_by_name(
    registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    write_reciter(models / "fox-1b-q8_0.gguf", "Good morning.")
    scan([registry])

    assert found(Why.NAME) == [["fox-1b", "fox-1b-q8-0"]]


def test_the_page_shows_sets_and_acts_on_them(
    admin_client: Client, registry: ModelFolder, fox: ServedModel, models: Path
) -> None:
    assert "Nothing is there twice" in text_of(admin_client.get(reverse(PAGE)))
    shutil.copy(models / "fox-1b-q4_k_m.gguf", models / "renamed-q4_k_m.gguf")
    scan([registry])

    page = text_of(admin_client.get(reverse(PAGE)))
    assert "Copies of a file" in page and "more than needed" in page

    copy = ServedModel.objects.get(model_id="renamed")
    assert "Disabled 1 model" in act(admin_client, "disable", copy)
    assert "Are you sure" in act(admin_client, "delete_selected", copy)


def test_who_may_not_see_models_sees_no_duplicates(client: Client, django_user_model: type) -> None:
    user = django_user_model.objects.create(username="guest")  # type: ignore[attr-defined]
    client.force_login(user)

    assert client.get(reverse(PAGE)).status_code == 403
