"""Every act in the admin becomes a revision that says who did what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from models_app import revisions
from models_app.models import ModelFolder, ModelGroup, Revision, ServedModel, ServerSettings
from tests.integration.admin.pages import act, form_of, list_of, page_of

pytestmark = pytest.mark.django_db

Acts = Callable[[Client, ServedModel], object]


def save(client: Client, row: object, **changes: object) -> None:
    address = page_of(row)
    assert client.post(address, {**form_of(client, address), **changes}).status_code == 302


ACTS: dict[str, Acts] = {
    "admin: model, disable": lambda client, fox: act(client, "disable", fox),
    "admin: model, move to group": lambda client, fox: act(
        client, "move_to_group", fox, group=ModelGroup.objects.get().pk
    ),
    "admin: model, changed": lambda client, fox: save(client, fox, ttl=9),
    "admin: model, delete selected": lambda client, fox: client.post(
        list_of(ServedModel),
        {"action": "delete_selected", "_selected_action": [fox.pk], "post": "yes"},
    ),
    "admin: model, deleted": lambda client, fox: client.post(
        reverse("admin:models_app_servedmodel_delete", args=[fox.pk]), {"post": "yes"}
    ),
    "admin: model, added": lambda client, fox: client.post(
        reverse("admin:models_app_servedmodel_add"),
        {
            **form_of(client, reverse("admin:models_app_servedmodel_add")),
            "model_id": "new",
            "cmd": "serve ${PORT}",
        },
    ),
    "admin: settings, changed": lambda client, fox: save(
        client, ServerSettings.current(), default_ttl=9
    ),
    "admin: group, changed": lambda client, fox: save(
        client, ModelGroup.objects.get(), members=[fox.pk]
    ),
    "admin: folder, disable": lambda client, fox: act(client, "disable", ModelFolder.objects.get()),
}


@pytest.mark.parametrize("cause", ACTS)
def test_an_act_is_a_revision_with_its_cause_and_author(
    admin_client: Client, fox: ServedModel, cause: str
) -> None:
    Revision.objects.all().delete()
    revisions.keep()

    ACTS[cause](admin_client, fox)

    made = revisions.keep()
    assert made is not None
    assert (made.cause, made.author) == (cause, "admin")
    assert made.summary


def test_looking_at_pages_is_no_change(admin_client: Client, fox: ServedModel) -> None:
    revisions.keep()

    admin_client.get(list_of(ServedModel))
    admin_client.get(page_of(fox))

    assert revisions.keep() is None
