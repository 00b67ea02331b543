"""Revisions in the admin: what each changed, going back, and edits by hand that wait."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app import revisions
from models_app.models import ModelFolder, Revision, ServedModel
from tests.integration.admin.pages import list_of, page_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def changed(registry: ModelFolder, fox: ServedModel) -> Revision:
    """A revision in which a person gave the fox a time to live."""
    Revision.objects.all().delete()
    revisions.keep()
    ServedModel.objects.filter(pk=fox.pk).update(ttl=55)
    made = revisions.keep()
    assert made is not None
    return made


def do(client: Client, revision: Revision, act: str) -> str:
    address = reverse("admin:models_app_revision_act", args=[revision.pk])
    return text_of(client.post(address, {"act": act}, follow=True))


def test_a_revision_shows_what_it_changed(admin_client: Client, changed: Revision) -> None:
    assert "model fox-1b: ttl" in text_of(admin_client.get(list_of(Revision)))

    page = text_of(admin_client.get(page_of(changed)))
    assert '<span class="added">+    ttl: 55</span>' in page
    assert "Go back to this revision" in page


def test_going_back_restores_what_was_chosen(
    admin_client: Client, changed: Revision, fox: ServedModel
) -> None:
    first = Revision.objects.earliest("pk")

    page = do(admin_client, first, "back")

    assert "Gone back." in page
    fox.refresh_from_db()
    assert fox.ttl is None
    newest = Revision.objects.latest("pk")
    assert (newest.cause, newest.author) == (f"back to revision {first.pk}", "admin")
    assert "Nothing had to change" in do(admin_client, newest, "back")


def test_an_edit_that_waits_is_applied_or_dismissed(
    admin_client: Client, changed: Revision, fox: ServedModel
) -> None:
    text = changed.yaml.replace("ttl: 55", "ttl: 77")
    edit = Revision.objects.create(
        kind=Revision.Kind.WAITING, yaml=text, base=changed, digest="1" * 64
    )
    page = text_of(admin_client.get(page_of(edit)))
    assert "Apply this edit" in page and "Go back" not in page

    assert "Applied." in do(admin_client, edit, "apply")
    fox.refresh_from_db()
    assert fox.ttl == 77
    assert "is no edit that waits" in do(admin_client, edit, "dismiss")


def test_who_may_only_look_cannot_go_back(client: Client, changed: Revision) -> None:
    user = User.objects.create(username="guest")
    user.user_permissions.add(Permission.objects.get(codename="view_revision"))
    client.force_login(user)

    assert "Go back" not in text_of(client.get(page_of(changed)))
    address = reverse("admin:models_app_revision_act", args=[changed.pk])
    assert client.post(address, {"act": "back"}).status_code == 403


def test_what_is_no_revision_is_not_found(admin_client: Client) -> None:
    for key in ("0", "x", "9" * 30):
        address = reverse("admin:models_app_revision_act", args=[key])
        assert admin_client.post(address, {"act": "back"}).status_code == 404


def test_the_history_reads_no_whole_configuration_for_its_lines(
    admin_client: Client, changed: Revision
) -> None:
    with CaptureQueriesContext(connection) as captured:
        text_of(admin_client.get(list_of(Revision)))

    assert not [query for query in captured if '"models_app_revision"."yaml"' in query["sql"]]
