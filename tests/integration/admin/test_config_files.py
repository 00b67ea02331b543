"""config.yaml into the admin and out again."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from models_app import revisions
from models_app.admin.config_files import MOST_BYTES
from models_app.models import ModelFolder, Revision, ServedModel
from tests.integration.admin.pages import text_of

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:models_app_revision_config")
NEW_MODEL = "models:\n  new:\n    cmd: serve --port ${PORT}\n    ttl: 7\n"


def upload(text: str | bytes) -> SimpleUploadedFile:
    data = text.encode() if isinstance(text, str) else text
    return SimpleUploadedFile("config.yaml", data)


def test_a_file_is_shown_before_it_changes_anything(admin_client: Client, fox: ServedModel) -> None:
    page = text_of(admin_client.post(PAGE, {"file": upload(NEW_MODEL)}))

    assert "What the file would change" in page
    assert "models added: new" in page and "1 created" in page
    assert '<span class="added">+  new:</span>' in page
    assert not ServedModel.objects.filter(model_id="new").exists()

    reply = admin_client.post(PAGE, {"text": NEW_MODEL, "apply": "Import it"}, follow=True)
    assert "Imported." in text_of(reply)
    assert ServedModel.objects.get(model_id="new").ttl == 7
    assert ServedModel.objects.filter(pk=fox.pk).exists()


def test_a_file_that_is_all_there_is_takes_the_others_away(
    admin_client: Client, fox: ServedModel
) -> None:
    page = text_of(admin_client.post(PAGE, {"file": upload(NEW_MODEL), "replace": "on"}))
    assert "models removed:" in page and 'name="replace" value="on"' in page

    admin_client.post(PAGE, {"text": NEW_MODEL, "replace": "on", "apply": "Import it"})
    assert not ServedModel.objects.get(pk=fox.pk).enabled


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("models: [", "line 2"),
        ("models:\n  a:\n    cmd: x\n    ttl: soon\n", "line 4"),
        (b"\xff\xfe", "not UTF-8"),
        ("a: &a [x]\nb: &b [*a, *a]\n" * 2, "line"),
        ("#" * (MOST_BYTES + 1), "larger than 2 MB"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(
    admin_client: Client, content: str | bytes, complaint: str
) -> None:
    reply = admin_client.post(PAGE, {"file": upload(content)})

    assert reply.status_code == 422
    page = reply.content.decode()
    assert "The file cannot be used" in page and complaint in page


def test_no_file_is_asked_for(admin_client: Client) -> None:
    reply = admin_client.post(PAGE, {})
    assert reply.status_code == 422
    assert "Choose a file." in reply.content.decode()


def test_what_is_downloaded_changes_nothing_when_it_is_taken_in_again(
    admin_client: Client, registry: ModelFolder, fox: ServedModel
) -> None:
    reply = admin_client.get(reverse("admin:models_app_revision_export"))
    assert reply["Content-Disposition"] == 'attachment; filename="config.yaml"'
    text = reply.content.decode()
    assert "fox-1b:" in text

    page = text_of(admin_client.post(PAGE, {"file": upload(text)}))
    assert "None." in page


def test_a_downloaded_configuration_holds_secrets_so_not_everybody_gets_it(client: Client) -> None:
    user = User.objects.create(username="guest")
    user.user_permissions.add(Permission.objects.get(codename="view_revision"))
    client.force_login(user)

    assert client.get(reverse("admin:models_app_revision_export")).status_code == 403
    assert client.post(PAGE, {"file": upload(NEW_MODEL)}).status_code == 403
    assert "Ask an administrator" in text_of(client.get(PAGE))


def test_an_import_is_a_revision_with_its_author(admin_client: Client, fox: ServedModel) -> None:
    admin_client.post(PAGE, {"text": NEW_MODEL, "apply": "Import it"})
    revisions.keep()
    newest = Revision.objects.latest("pk")
    assert (newest.cause, newest.author) == ("config.yaml imported in the admin", "admin")
