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
from models_app.choices import RUNS_PROGRAMS
from models_app.config_yaml import expand, parse
from models_app.importing import apply
from models_app.models import AuditEntry, Revision, ServedModel
from models_app.scan import scan
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
        **form_of(model, name="renamed"),
        "cmd": "touch /tmp/owned",
        "cmd_stop": "touch /tmp/owned",
        "proxy": "http://169.254.169.254",
        "env": '["LD_PRELOAD=/tmp/owned.so"]',
        "extra_arguments": "--log-file /tmp/owned",
        "chat_template": "/etc/passwd",
        "macros": '{"a": "b"}',
        "concurrency_limit": "0",
    }
    before = {field: getattr(model, field) for field in RUNS_PROGRAMS}
    reply = curator.post(address, form)
    model.refresh_from_db()
    assert {field: getattr(model, field) for field in RUNS_PROGRAMS} == before
    assert reply.status_code == 302 and model.name == "renamed", reply.content.decode()


def test_a_curator_reads_no_command_and_no_environment_in_the_admin(
    curator: Client, boss: Client, model: ServedModel
) -> None:
    """They hold secrets, and a list of the rows that hold some text would tell them as well."""
    secrets = {"cmd": "serve --api-key hush1", "env": ["MY_TOKEN=hush2"], "macros": {"a": "hush3"}}
    ServedModel.objects.filter(pk=model.pk).update(**secrets)
    address = reverse("admin:models_app_servedmodel_change", args=[model.pk])
    assert all(f"hush{number}" in boss.get(address).content.decode() for number in (1, 2, 3))
    assert "hush" not in curator.get(address).content.decode()
    rejected = curator.post(address, {"model_id": ""})
    assert rejected.status_code == 200 and "hush" not in rejected.content.decode()
    listed = reverse("admin:models_app_servedmodel_changelist")
    for field in RUNS_PROGRAMS:
        assert curator.get(listed, {f"{field}__contains": "hush"}).status_code == 400, field


def form_of(model: ServedModel, **changed: str) -> dict[str, str]:
    """The page of a model as a curator gets it, with some of its fields changed."""
    return {
        "model_id": model.model_id,
        "enabled": "on",
        "priority": "0",
        "load_mode": "",
        "set_params": json.dumps(model.set_params),
        "set_params_by_id": json.dumps(model.set_params_by_id),
        "timeouts": "{}",
        "metadata": "{}",
        "aliases-TOTAL_FORMS": "0",
        "aliases-INITIAL_FORMS": "0",
        **changed,
    }


@pytest.mark.parametrize("path", ["/api/config/regenerate-from-db", "/api/config/generate-all"])
def test_no_curator_takes_a_command_back_by_setting_models_up_again(
    curator: Client, boss: Client, tmp_path: Path, path: str
) -> None:
    """S1: the first implementation writes all commands anew for whoever asks."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox-f32.gguf", "Hello there.")
    hardware.store(hardware.detect())
    scan([folders.add(folder)])
    own = {"cmd": "llama-server --port ${PORT} --api-key mine", "extra_arguments": "--verbose"}
    ServedModel.objects.update(**own, context=4096)
    body = {"folderPath": str(folder), "reset": True, "options": {"minContext": 4096}}
    assert send(curator, f"{path}?wait=0", body) in (200, 503)
    row = ServedModel.objects.get()
    assert {name: getattr(row, name) for name in own} == own
    status = send(boss, "/api/config/regenerate-from-db?wait=0", body)
    assert status in (200, 503)
    noted = AuditEntry.objects.filter(what__startswith="POST /api/config/regenerate-from-db")
    assert noted.exists()  # Also of what goes on while nobody waits for it.
    assert noted.latest("pk").what.endswith("(answered 503)") is (status == 503)
    assert ServedModel.objects.get().cmd == ""


def test_no_curator_takes_a_command_back_in_the_list(
    curator: Client, boss: Client, model: ServedModel
) -> None:
    ServedModel.objects.update(context=4096)
    act = {
        "action": "back_to_automatic",
        "_selected_action": [model.pk],
        "confirmed": "1",
        "fields_to_empty": ["cmd", "context"],
    }
    list_of_models = reverse("admin:models_app_servedmodel_changelist")
    page = curator.post(list_of_models, {**act, "confirmed": ""}).content.decode()
    assert 'value="context"' in page and 'value="cmd"' not in page
    curator.post(list_of_models, act)
    row = ServedModel.objects.get()
    assert (row.cmd, row.context) == (model.cmd, 4096)
    curator.post(list_of_models, {**act, "fields_to_empty": ["context"]})
    row = ServedModel.objects.get()
    assert (row.cmd, row.context) == (model.cmd, None)
    boss.post(list_of_models, act)
    assert ServedModel.objects.get().cmd == ""


@pytest.mark.parametrize("name", ["${MODEL_ID}", "${env.HOME}", "a --log-file /tmp/owned", "';id'"])
def test_no_id_is_more_than_one_word_of_a_command(
    curator: Client, boss: Client, tmp_path: Path, name: str
) -> None:
    """S12: an id stands in the command's text there, and says whatever it likes."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox-f32.gguf", "Hello there.")
    hardware.store(hardware.detect())
    scan([folders.add(folder)])
    row = ServedModel.objects.get()
    address = reverse("admin:models_app_servedmodel_change", args=[row.pk])
    aliases = {
        "aliases-TOTAL_FORMS": "1",
        "aliases-0-alias": f"{name} 2",
        "aliases-0-model": str(row.pk),
    }
    usual = expand(catalog.build().models[row.model_id], catalog.build(), 8100).argv
    form = form_of(row, model_id=name, file=str(row.file_id), **aliases)
    reply = curator.post(address, form)
    assert reply.status_code == 302, reply.content.decode()
    document = catalog.build()
    argv = expand(document.models[name], document, 8100).argv
    assert argv == tuple(name if word == row.model_id else word for word in usual)


@pytest.mark.parametrize("text", ["sh -c 'serve ${MODEL_ID} ${PORT}'", "serve ${who} ${PORT}"])
def test_no_curator_renames_what_a_command_names(curator: Client, boss: Client, text: str) -> None:
    model = ServedModel.objects.create(model_id="own", cmd=text, macros={"who": "${MODEL_ID}"})
    address = reverse("admin:models_app_servedmodel_change", args=[model.pk])
    renamed = form_of(model, model_id="$(touch /tmp/owned)")
    reply = curator.post(address, renamed)
    assert reply.status_code == 200 and "Ask an administrator" in reply.content.decode()
    assert curator.post(address, form_of(model, name="nice")).status_code == 302
    assert ServedModel.objects.get().model_id == "own"


@pytest.mark.parametrize("field", ["set_params", "set_params_by_id"])
def test_no_curator_has_the_servers_secrets_sent_to_a_model(
    curator: Client, boss: Client, model: ServedModel, field: str
) -> None:
    """A macro or variable in the fields of a request would be read by the model, and told."""
    address = reverse("admin:models_app_servedmodel_change", args=[model.pk])
    for text in ("${env.CLARACORE_SECRET_KEY}", "${token}", "${env.HOME"):
        given = json.dumps({"id:x": {"prompt": f"Repeat: {text}"}})
        reply = curator.post(address, form_of(model, **{field: given}))
        assert "may hold secrets" in reply.content.decode()
    by_boss = {"id:x": {"prompt": "${token}"}}
    ServedModel.objects.update(**{field: by_boss})
    model.refresh_from_db()
    reply = curator.post(address, form_of(model, **{field: json.dumps({"id:x": {"seed": 1}})}))
    assert reply.status_code == 200
    assert curator.post(address, form_of(model, name="nice")).status_code == 302
    row = ServedModel.objects.get()
    assert (getattr(row, field), row.name) == (by_boss, "nice")


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
