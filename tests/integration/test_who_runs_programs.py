"""What runs programs is an administrator's to set, by whatever way it comes (S1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from downloads_app.models import DownloadSettings
from models_app import catalog, folders, hand_edits, hardware, revisions
from models_app.admin.served import RUNS_PROGRAMS
from models_app.config_yaml import parse
from models_app.importing import apply
from models_app.models import Revision, ServedModel
from tests.ggufs import write_reciter

OWNED = "models:\n  owned:\n    cmd: touch /tmp/owned\n    proxy: http://127.0.0.1:1\n"

pytestmark = pytest.mark.django_db


@pytest.fixture
def curator(client: Client) -> Client:
    """With every permission of the admin that there is, as if somebody had been generous."""
    User.objects.create_superuser("boss", password="word")
    user = User.objects.create_user("curator", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)
    return client


@pytest.fixture
def boss(curator: Client) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="boss"))
    return client


@pytest.fixture
def model(db: None) -> ServedModel:
    return ServedModel.objects.create(model_id="plain", cmd="llama-server --port ${PORT}")


def send(client: Client, path: str, body: dict[str, Any]) -> int:
    status: int = client.post(path, json.dumps(body), content_type="application/json").status_code
    return status


def test_a_configuration_is_taken_from_administrators_alone(curator: Client, boss: Client) -> None:
    assert send(curator, "/api/config", {"yaml": OWNED}) == 403
    assert send(curator, "/api/config?dry_run=1", {"yaml": OWNED}) == 403
    assert send(Client(), "/api/config", {"yaml": OWNED}) == 401
    assert not ServedModel.objects.exists()
    assert send(boss, "/api/config", {"yaml": OWNED}) == 200
    assert ServedModel.objects.get().cmd == "touch /tmp/owned"


def test_the_settings_of_macros_and_folders_are_administrators(curator: Client) -> None:
    assert send(curator, "/api/settings/system", {"enableJinja": False}) == 403


def test_the_admin_gives_a_curator_no_field_that_runs_programs(
    curator: Client, model: ServedModel
) -> None:
    address = reverse("admin:models_app_servedmodel_change", args=[model.pk])
    page = curator.get(address).content.decode()
    for field in RUNS_PROGRAMS:
        assert f'name="{field}"' not in page, field
    form = {
        "model_id": "plain",
        "name": "renamed",
        "cmd": "touch /tmp/owned",
        "cmd_stop": "touch /tmp/owned",
        "proxy": "http://169.254.169.254",
        "env": '["LD_PRELOAD=/tmp/owned.so"]',
        "extra_arguments": "--log-file /tmp/owned",
        "chat_template": "/etc/passwd",
        "macros": '{"a": "b"}',
        "enabled": "on",
        "concurrency_limit": "0",
        "priority": "0",
        "load_mode": "",
        "set_params": "{}",
        "set_params_by_id": "{}",
        "timeouts": "{}",
        "metadata": "{}",
        "aliases-TOTAL_FORMS": "0",
        "aliases-INITIAL_FORMS": "0",
    }
    before = {field: getattr(model, field) for field in RUNS_PROGRAMS}
    reply = curator.post(address, form)
    model.refresh_from_db()
    assert {field: getattr(model, field) for field in RUNS_PROGRAMS} == before
    assert reply.status_code == 302 and model.name == "renamed", reply.content.decode()


def test_an_administrator_has_them(boss: Client, model: ServedModel) -> None:
    page = boss.get(reverse("admin:models_app_servedmodel_change", args=[model.pk]))
    for field in RUNS_PROGRAMS:
        assert f'name="{field}"' in page.content.decode(), field


def test_a_curator_changes_no_word_of_a_command_over_rest(
    curator: Client, boss: Client, model: ServedModel
) -> None:
    path = "/api/config/model/plain"
    for body in ({"contextSize": 8192}, {"layers": 1, "name": "renamed"}, {"gpus": "CUDA0"}):
        reply = curator.post(path, json.dumps(body), content_type="application/json")
        assert reply.status_code == 403
        assert "only an administrator" in reply.json()["error"]
    page = reverse("ui-model-tune", args=[model.pk])
    curator.post(page, {"context": "8192"})
    model.refresh_from_db()
    assert model.cmd == "llama-server --port ${PORT}"
    assert send(curator, path, {"name": "renamed", "ttl": 5}) == 200
    assert send(boss, path, {"contextSize": 8192}) == 200
    model.refresh_from_db()
    assert model.name == "renamed" and "--ctx-size 8192" in model.cmd


def test_rest_takes_no_command_with_a_single_model(curator: Client, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    file = folder / "fox-f32.gguf"
    write_reciter(file, "Hello there.")
    hardware.store(hardware.detect())
    folders.add(folder)
    words = {
        "cmd": "touch /tmp/owned",
        "cmdStop": "touch /tmp/owned",
        "env": ["LD_PRELOAD=/tmp/owned.so"],
        "extraArguments": "--log-file /tmp/owned",
        "extra_arguments": "--log-file /tmp/owned",
        "macros": {"a": "b"},
        "proxy": "http://169.254.169.254",
        "chatTemplate": "/etc/passwd",
    }
    added = {"filePath": str(file), "options": words, **words}
    assert send(curator, "/api/config/add-model", added) == 200
    assert send(curator, "/api/config/append-model", added) == 200
    row = ServedModel.objects.get()
    assert send(curator, f"/api/config/model/{row.model_id}", words) == 400
    assert send(curator, f"/api/config/model/{row.model_id}", {"ttl": 5, **words}) == 200
    changed = ServedModel.objects.get()
    unset = {field: getattr(ServedModel(), field) for field in RUNS_PROGRAMS}
    assert {field: getattr(changed, field) for field in RUNS_PROGRAMS} == unset
    assert changed.ttl == 5
    assert send(curator, f"/api/config/models/{row.model_id}", words) == 405


def test_a_curator_allows_no_further_host_to_download_from(curator: Client, boss: Client) -> None:
    DownloadSettings.current()
    address = reverse("admin:downloads_app_downloadsettings_change", args=[1])
    form = {"at_once": "3", "connections": "4", "rate_limit": "0", "hosts": "evil.example"}
    assert curator.post(address, form).status_code == 302
    row = DownloadSettings.current()
    assert (row.at_once, row.hosts) == (3, "")
    assert boss.post(address, form).status_code == 302
    assert DownloadSettings.current().hosts == "evil.example"


def test_no_old_revision_brings_a_command_back_for_a_curator(curator: Client, boss: Client) -> None:
    apply(parse(OWNED))
    owned = revisions.note(catalog.build(), 1)
    assert owned is not None
    ServedModel.objects.all().delete()
    revisions.note(catalog.build(), 2)
    address = reverse("admin:models_app_revision_act", args=[owned.pk])
    assert curator.post(address, {"act": "back"}).status_code == 403
    assert not ServedModel.objects.exists()
    assert boss.post(address, {"act": "back"}).status_code == 302
    assert ServedModel.objects.get().cmd == "touch /tmp/owned"


@pytest.mark.parametrize("act", ["apply", "dismiss"])
def test_no_edit_that_waits_is_decided_by_a_curator(curator: Client, act: str) -> None:
    edit = Revision.objects.create(kind=Revision.Kind.WAITING, yaml=OWNED)
    address = reverse("admin:models_app_revision_act", args=[edit.pk])
    assert curator.post(address, {"act": act}).status_code == 403
    assert list(hand_edits.waiting()) == [edit]


def test_no_file_is_imported_and_no_secrets_exported_by_a_curator(curator: Client) -> None:
    address = reverse("admin:models_app_revision_config")
    assert curator.post(address, {"text": OWNED, "apply": "1"}).status_code == 403
    assert not ServedModel.objects.exists()
    assert curator.get(reverse("admin:models_app_revision_export")).status_code == 403


def test_a_curator_reads_the_configuration_without_its_secrets(
    curator: Client, boss: Client
) -> None:
    secret = "sk-verySecretIndeed"
    ServedModel.objects.create(model_id="m", cmd=f"llama-server --api-key {secret}")
    assert secret in boss.get("/api/config").content.decode()
    shown = curator.get("/api/config")
    assert shown.status_code == 200
    assert secret not in shown.content.decode()
