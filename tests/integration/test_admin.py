from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from models_app import folders, hardware
from models_app.models import (
    EngineBuild,
    GgufFile,
    MachineReport,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)
from models_app.scan import scan
from tests.ggufs import cut, write_projector, write_reciter, write_split

pytestmark = pytest.mark.django_db

TABLES = (
    EngineBuild,
    GgufFile,
    MachineReport,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)


@pytest.fixture
def admin_client(client: Client) -> Client:
    """A signed-in administrator, without the half second that hashing a password takes."""
    user = User.objects.create(username="admin", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(models: Path) -> ModelFolder:
    """One row at least of everything."""
    write_reciter(models / "fox-1b-q4_k_m.gguf", "Hello there.")
    write_projector(models / "mmproj-fox-1b.gguf")
    write_split(models / "big", 2)
    cut(write_reciter(models / "short.gguf", "Hello there."), -1000)
    folder = folders.add(models)
    scan([folder])
    hardware.store(hardware.detect())
    ModelGroup.objects.create(name="small")
    ServerSettings.current()
    Revision.objects.create(digest="0" * 64, yaml="models: {}\n")
    ScanRun.objects.create(total=10, processed=5, problem="One line.\nAnother.")
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, flags=["--model"], active=True
    )
    return folder


def list_of(table: type[Any]) -> str:
    return reverse(f"admin:models_app_{table._meta.model_name}_changelist")


def page_of(row: Any) -> str:
    return reverse(f"admin:models_app_{row._meta.model_name}_change", args=[row.pk])


def text_of(response: Any) -> str:
    assert response.status_code == 200, response
    return str(response.content.decode())


def act(client: Client, action: str, *rows: Any) -> str:
    """Do an action on rows as the list's form does, and give back the page that follows."""
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return text_of(client.post(list_of(type(rows[0])), data, follow=True))


def form_of(client: Client, address: str) -> dict[str, Any]:
    """What the form at `address` would send when nothing is changed."""
    context = client.get(address).context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for field in form:
            value = field.value()
            if value is True:
                data[field.html_name] = "on"
            elif value is not None and value is not False:
                data[field.html_name] = value
    return data


def errors_of(client: Client, address: str, **changes: Any) -> dict[str, list[str]]:
    """The complaints about a form after `changes`; none when it was saved."""
    response = client.post(address, {**form_of(client, address), **changes})
    if response.status_code == 302:
        return {}
    form = response.context["adminform"].form
    return {name: [str(e) for e in errors] for name, errors in form.errors.items()}


@pytest.mark.parametrize("table", TABLES)
def test_every_list_and_page_answers(
    admin_client: Client, registry: ModelFolder, table: type[Any]
) -> None:
    text_of(admin_client.get(list_of(table), follow=True))
    for row in table.objects.all():
        text_of(admin_client.get(page_of(row)))
    for word in ("fox", "%", "\x00", "'\""):
        assert admin_client.get(list_of(table), {"q": word}, follow=True).status_code == 200


@pytest.mark.parametrize("table", (ModelFolder, ModelGroup, ServedModel))
def test_every_form_for_a_new_row_answers(admin_client: Client, table: type[Any]) -> None:
    text_of(admin_client.get(reverse(f"admin:models_app_{table._meta.model_name}_add")))


@pytest.mark.parametrize("table", (EngineBuild, GgufFile, MachineReport, Revision, ScanRun))
def test_what_the_server_writes_can_only_be_looked_at(
    admin_client: Client, registry: ModelFolder, table: type[Any]
) -> None:
    row = table.objects.first()
    name = f"admin:models_app_{table._meta.model_name}"

    assert admin_client.get(reverse(f"{name}_add")).status_code == 403
    assert admin_client.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403
    assert admin_client.post(page_of(row), {"path": "x"}).status_code == 403


def fill(folder: ModelFolder, models: Path, count: int) -> None:
    for number in range(count):
        shutil.copy(models / "fox-1b-q4_k_m.gguf", models / f"copy{number:03d}-q8_0.gguf")
    scan([folder])
    group = ModelGroup.objects.get()
    ServedModel.objects.update(group=group)
    for number in range(count):
        other = ModelGroup.objects.create(name=f"group {number}")
        ServedModel.objects.filter(model_id=f"copy{number:03d}").update(group=other)
        Revision.objects.create(digest=f"{number:064d}", yaml="models: {}\n")
        ScanRun.objects.create().folders.add(folder)
        ModelFolder.objects.create(path=f"/no/such/folder{number}")
        EngineBuild.objects.create(path=f"/opt/{number}/llama-server", size=1, mtime_ns=1)


@pytest.mark.parametrize("table", [t for t in TABLES if t not in (MachineReport, ServerSettings)])
def test_a_long_list_takes_as_many_queries_as_a_short_one(
    admin_client: Client, registry: ModelFolder, models: Path, table: type[Any]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            text_of(admin_client.get(list_of(table)))
        return len(captured)

    fill(registry, models, 20)
    short = queries()
    ModelGroup.objects.exclude(name="small").delete()
    for other in (Revision, ScanRun, EngineBuild):
        other.objects.all().delete()
    ModelFolder.objects.exclude(pk=registry.pk).delete()
    fill(registry, models, 200)

    assert queries() == short


# ---- Folders ---------------------------------------------------------------------------------


def test_a_folder_is_added_scanned_and_counted(
    admin_client: Client, models: Path, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    write_reciter(models / "fox.gguf", "Hello there.")
    address = reverse("admin:models_app_modelfolder_add")
    data = {"path": f"{models}/../models/", "recursive": "on", "enabled": "on"}

    page = text_of(admin_client.post(address, data, follow=True))

    folder = ModelFolder.objects.get()
    run = ScanRun.objects.get()
    assert (folder.path, list(run.folders.all())) == (str(models), [folder])
    assert f"scan {run.pk}" in page
    scan([folder])
    assert re.search(r'field-models">1<', text_of(admin_client.get(list_of(ModelFolder))))


def test_a_folder_that_cannot_be_tracked_says_why(admin_client: Client, models: Path) -> None:
    address = reverse("admin:models_app_modelfolder_add")
    (models / "sub").mkdir()
    (models / "file").touch()

    def complaint(path: str) -> str:
        response = admin_client.post(address, {"path": path, "recursive": "on", "enabled": "on"})
        return str(response.context["adminform"].form.errors["path"][0])

    assert "is not an absolute path" in complaint("models")
    assert complaint(f"{models}/gone") == f"{models}/gone does not exist."
    assert complaint(f"{models}/file") == f"{models}/file is not a folder."
    folders.add(models)
    assert complaint(str(models)) == f"This folder is tracked already, as {models}."
    assert complaint(f"{models}/sub") == (
        f"{models}/sub lies in {models}, which is tracked with the folders below it."
    )


def test_folders_are_scanned_enabled_and_disabled(
    admin_client: Client, registry: ModelFolder
) -> None:
    ScanRun.objects.all().delete()

    page = act(admin_client, "scan_now", registry)
    assert f"scan {ScanRun.objects.get().pk}" in page

    act(admin_client, "disable", registry)
    assert not ModelFolder.objects.get().enabled
    act(admin_client, "enable", registry)
    assert ModelFolder.objects.get().enabled


def test_removing_a_folder_takes_its_models_along_and_leaves_the_files(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    assert ServedModel.objects.exists()
    address = reverse("admin:models_app_modelfolder_delete", args=[registry.pk])

    assert "stay on disk" in text_of(admin_client.get(address))
    admin_client.post(address, {"post": "yes"})

    assert not ModelFolder.objects.exists() and not ServedModel.objects.exists()
    assert (models / "fox-1b-q4_k_m.gguf").exists()


def test_several_folders_are_removed_at_once(admin_client: Client, registry: ModelFolder) -> None:
    data = {"action": "delete_selected", "_selected_action": registry.pk, "post": "yes"}
    admin_client.post(list_of(ModelFolder), data)

    assert not ModelFolder.objects.exists() and not ServedModel.objects.exists()


# ---- Files -----------------------------------------------------------------------------------


def test_a_file_shows_its_facts_or_why_there_are_none(
    admin_client: Client, registry: ModelFolder
) -> None:
    fox = text_of(
        admin_client.get(page_of(GgufFile.objects.get(relative_path__contains="fox-1b-q")))
    )
    assert "Reciter" in fox and "llama" in fox and "mmproj-fox-1b.gguf" in fox
    short = text_of(admin_client.get(page_of(GgufFile.objects.get(relative_path="short.gguf"))))
    assert "1,000 bytes are missing" in short
    assert "1,000 bytes are missing" in text_of(admin_client.get(list_of(GgufFile)))


@pytest.mark.parametrize(
    "filters",
    [
        {"state__exact": "unreadable"},
        {"state__in": "unreadable,incomplete"},
        {"kind": "chat"},
        {"architecture": "clip"},
        {"quantization": "F32"},
    ],
)
def test_files_can_be_filtered(
    admin_client: Client, registry: ModelFolder, filters: dict[str, str]
) -> None:
    response = admin_client.get(list_of(GgufFile), filters)

    assert response.status_code == 200
    assert 0 < response.context["cl"].result_count < GgufFile.objects.count()


def test_a_deleted_model_can_be_made_again(admin_client: Client, registry: ModelFolder) -> None:
    fox = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")
    ServedModel.objects.get(file=fox).delete()

    assert "Made 1 models" in act(admin_client, "make_models", fox)
    assert ServedModel.objects.get(file=fox).model_id == "fox-1b"
    assert "Made 0 models" in act(admin_client, "make_models", fox)


def test_files_that_are_gone_can_be_forgotten(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])
    rows = list(GgufFile.objects.all())

    assert "Forgot 1 files" in act(admin_client, "forget", *rows)
    assert GgufFile.objects.count() == len(rows) - 1
    assert "None of these files is gone" in act(admin_client, "forget", rows[-1])


def test_the_folders_of_files_can_be_scanned(admin_client: Client, registry: ModelFolder) -> None:
    ScanRun.objects.all().delete()
    act(admin_client, "scan_folders", *GgufFile.objects.all())

    assert list(ScanRun.objects.get().folders.all()) == [registry]


def test_a_projector_is_chosen_among_projectors(
    admin_client: Client, registry: ModelFolder
) -> None:
    query = {"app_label": "models_app", "model_name": "servedmodel"}
    address = reverse("admin:autocomplete")

    def offered(field: str) -> set[str]:
        found = admin_client.get(address, {**query, "field_name": field}).json()["results"]
        return {item["text"] for item in found}

    assert offered("projector") == {"mmproj-fox-1b.gguf"}
    assert "fox-1b-q4_k_m.gguf" in offered("file")


# ---- Models ----------------------------------------------------------------------------------


@pytest.fixture
def fox(registry: ModelFolder) -> ServedModel:
    return ServedModel.objects.get(model_id="fox-1b")


@pytest.mark.parametrize("word", ["fox-1b", "Fox-1B-Q4_K_M", "fox-1b-q4-k-m", "models/fox-1b"])
def test_a_model_is_found_by_id_name_alias_and_file(
    admin_client: Client, fox: ServedModel, word: str
) -> None:
    response = admin_client.get(list_of(ServedModel), {"q": word})

    assert [model.pk for model in response.context["cl"].result_list] == [fox.pk]


def test_the_size_of_a_split_model_is_that_of_all_its_parts(
    admin_client: Client, registry: ModelFolder
) -> None:
    parts = GgufFile.objects.filter(relative_path__startswith="big-")
    total = sum(part.size for part in parts)
    assert len(parts) == 2

    page = text_of(admin_client.get(list_of(ServedModel)))

    assert f"{total / 1024:.1f} KiB" in page


def test_models_are_enabled_disabled_and_set_back_to_automatic(
    admin_client: Client, fox: ServedModel
) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(context=512, use_projector=False, ttl=7)

    act(admin_client, "disable", fox)
    assert not ServedModel.objects.get(pk=fox.pk).enabled
    act(admin_client, "enable", fox)
    assert "By hand: context, use projector" in text_of(admin_client.get(list_of(ServedModel)))
    act(admin_client, "back_to_automatic", fox)

    fox.refresh_from_db()
    assert (fox.enabled, fox.context, fox.use_projector, fox.ttl) == (True, None, True, 7)


def test_the_page_of_a_model_says_how_it_is_started_and_why(
    admin_client: Client, fox: ServedModel
) -> None:
    page = text_of(admin_client.get(page_of(fox)))

    assert "--model " in page and "${PORT}" in page
    assert "context: " in page


def test_saving_an_unchanged_form_changes_nothing(
    admin_client: Client, registry: ModelFolder
) -> None:
    tables = (ServedModel, ModelAlias, ModelGroup, ServerSettings)
    before = [list(table.objects.order_by("pk").values()) for table in tables]

    for row in [*ServedModel.objects.all(), ModelGroup.objects.get(), ServerSettings.current()]:
        assert errors_of(admin_client, page_of(row)) == {}

    assert [list(table.objects.order_by("pk").values()) for table in tables] == before


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("model_id", "big", "already exists"),
        ("model_id", "a//b", "A slash may only stand between two parts"),
        ("context", "100000", "trained on 4,096 tokens"),
        ("context", "-1", "greater than or equal to"),
        ("env", '"KEY=value"', "Enter a list such as"),
        ("env", "[", "valid JSON"),
        ("metadata", "[1]", "Enter names with values"),
        ("extra_arguments", "--temp 'x", "quotation mark is left open"),
        ("extra_arguments", "--port=1", "--port=1 is given by the server"),
        ("proxy", "127.0.0.1:80", "Enter an address such as"),
        ("check_endpoint", "health", "Enter a path such as"),
        ("cmd", "serve ${NOTHING}", "unknown macro"),
        ("cmd", "serve --port 1", "proxy uses ${PORT}"),
        ("cmd", "serve ${PORT} 'x", "quot"),
    ],
)
def test_a_model_that_cannot_be_says_what_to_do(
    admin_client: Client, fox: ServedModel, field: str, value: str, complaint: str
) -> None:
    errors = errors_of(admin_client, page_of(fox), **{field: value})

    assert list(errors) == [field]
    assert complaint in errors[field][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", "owner/fox"),
        ("context", "2048"),
        ("env", '["A=b=c", "D="]'),
        ("metadata", '{"team": {"lab": 1}}'),
        ("extra_arguments", "--temp 0.5 --no-mmap"),
        ("cmd", "serve --port ${PORT} # fast"),
        ("check_endpoint", "none"),
    ],
)
def test_a_model_takes_what_is_right(
    admin_client: Client, fox: ServedModel, field: str, value: str
) -> None:
    assert errors_of(admin_client, page_of(fox), **{field: value}) == {}


def test_ids_and_aliases_are_one_name_space(admin_client: Client, fox: ServedModel) -> None:
    other = ServedModel.objects.get(model_id="big")
    errors = errors_of(admin_client, page_of(other), model_id="fox-1b-q4-k-m")
    assert "This is an alias of fox-1b" in errors["model_id"][0]

    address = page_of(other)
    data = form_of(admin_client, address) | {"aliases-TOTAL_FORMS": 1, "aliases-0-alias": "fox-1b"}
    page = text_of(admin_client.post(address, data))
    assert "A model has the id “fox-1b”" in page

    data["aliases-0-alias"] = "huge"
    assert admin_client.post(address, data).status_code == 302
    assert ModelAlias.objects.get(alias="huge").model == other


def test_a_model_needs_a_file_or_a_command(admin_client: Client, db: None) -> None:
    address = reverse("admin:models_app_servedmodel_add")

    assert "Choose a file" in errors_of(admin_client, address, model_id="new")["file"][0]
    assert errors_of(admin_client, address, model_id="new", cmd="serve ${PORT}") == {}


def test_a_model_whose_file_is_gone_says_so(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])

    assert "The file is no longer there." in text_of(admin_client.get(list_of(ServedModel)))


# ---- Groups and settings ---------------------------------------------------------------------


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


# ---- Scans, revisions, machine ---------------------------------------------------------------


def test_a_scan_shows_its_progress_and_can_be_repeated(
    admin_client: Client, registry: ModelFolder
) -> None:
    run = ScanRun.objects.get()
    page = text_of(admin_client.get(page_of(run)))
    assert "5 of 10 files" in page and "Another." in page
    ScanRun.objects.update(status=ScanRun.Status.FAILED)

    act(admin_client, "again", run)

    newest = ScanRun.objects.first()
    assert newest is not None and newest != run and newest.status == ScanRun.Status.QUEUED


def test_a_revision_shows_its_text(admin_client: Client, registry: ModelFolder) -> None:
    assert "models: {}" in text_of(admin_client.get(page_of(Revision.objects.get())))


def test_the_machine_opens_directly(admin_client: Client, registry: ModelFolder) -> None:
    page = text_of(admin_client.get(list_of(MachineReport), follow=True))

    assert "physical cores" in page
