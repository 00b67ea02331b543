from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from models_app.models import (
    ModelFolder,
    ModelGroup,
    ServedModel,
    ServerSettings,
)
from tests.integration.admin.pages import errors_of, list_of, page_of, text_of

pytestmark = pytest.mark.django_db


def test_a_group_chooses_its_members(admin_client: Client, fox: ServedModel) -> None:
    group = ModelGroup.objects.get()
    other = ModelGroup.objects.create(name="other")
    ServedModel.objects.update(group=other)

    assert errors_of(admin_client, page_of(group), members=[fox.pk]) == {}
    assert list(group.members.all()) == [fox]
    assert list(other.members.values_list("model_id", flat=True)) == ["big"]
    assert "fox-1b" in text_of(admin_client.get(list_of(ModelGroup)))

    assert errors_of(admin_client, page_of(group), members=[]) == {}
    assert list(group.members.all()) == []


def test_the_name_of_the_default_group_is_taken(
    admin_client: Client, registry: ModelFolder
) -> None:
    errors = errors_of(admin_client, page_of(ModelGroup.objects.get()), name="(default)")

    assert "Choose another name" in errors["name"][0]


def test_settings_open_directly_and_are_one_row(admin_client: Client, db: None) -> None:
    response = admin_client.get(list_of(ServerSettings))

    assert response["Location"] == page_of(ServerSettings.current())
    add = reverse("admin:models_app_serversettings_add")
    delete = reverse("admin:models_app_serversettings_delete", args=[1])
    assert admin_client.get(add).status_code == 403
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("preload", '["nothing"]', "There is no model “nothing”"),
        ("preload", '{"a": 1}', "Enter a list of model ids"),
        ("macros", '{"PORT": "1"}', "reserved"),
        ("macros", '{"a": "${a}"}', ""),
        ("macros", "[]", "Enter names with texts"),
        ("download_dir", "models", "Enter an absolute path"),
        ("min_context", "65536", "Enter at most the preferred context, 32,768"),
        ("health_check_timeout", "1", "greater than or equal to 15"),
    ],
)
def test_settings_that_cannot_be_say_what_to_do(
    admin_client: Client, registry: ModelFolder, field: str, value: str, complaint: str
) -> None:
    errors = errors_of(admin_client, page_of(ServerSettings.current()), **{field: value})

    assert list(errors) == [field]
    assert complaint in errors[field][0]


def test_settings_take_what_is_right(admin_client: Client, fox: ServedModel) -> None:
    changes = {
        "preload": '["fox-1b", "fox-1b-q4-k-m"]',
        "macros": '{"threads": 8}',
        "download_dir": "/srv/models",
    }

    assert errors_of(admin_client, page_of(ServerSettings.current()), **changes) == {}
    assert ServerSettings.current().macros == {"threads": "8"}
