"""Everything the admin can change becomes a revision, and the admin can do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from models_app import changes, revisions
from models_app.models import (
    GgufFile,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
    VirtualModel,
)
from tests.integration.admin.pages import act, errors_of, list_of, page_of

pytestmark = pytest.mark.django_db

Act = Callable[[Client], object]

NO_CONFIGURATION = {
    "ApiKey": "keys are no part of the configuration, and a revision must not bring one back",
    "AuditEntry": "written by the server",
    "EngineBuild": "found by the server",
    "EngineInstall": "asks for a build, which the server uses once it has tried it",
    "LoadRecord": "measured by the server",
    "MachineReport": "found by the server",
    "Revision": "going back is a revision of its own",
    "ScanRun": "asks for a scan, whose results are",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> None:
    settings.CLARACORE_HOME = tmp_path


def model() -> ServedModel:
    return ServedModel.objects.get(model_id="fox-1b")


def group() -> ModelGroup:
    return ModelGroup.objects.get(name="small")


def virtual() -> VirtualModel:
    row, made = VirtualModel.objects.get_or_create(name="some", defaults={"members": ["fox-1b"]})
    if made:
        revisions.keep()
    return row


def folder() -> ModelFolder:
    return ModelFolder.objects.get()


def changed(row: Any, **values: Any) -> Act:
    def submit(client: Client) -> None:
        assert errors_of(client, page_of(row()), **values) == {}

    return submit


def added(table: type[Any], **values: Any) -> Act:
    def submit(client: Client) -> None:
        address = f"{list_of(table)}add/"
        assert errors_of(client, address, **values) == {}

    return submit


def deleted(row: Any) -> Act:
    def submit(client: Client) -> None:
        address = page_of(row()).replace("/change/", "/delete/")
        assert client.post(address, {"post": "yes"}).status_code == 302

    return submit


def done(name: str, row: Any, before: Callable[[], object] = lambda: None, **answers: Any) -> Act:
    def submit(client: Client) -> None:
        before()
        revisions.keep()
        act(client, name, row(), **answers)

    return submit


def new_folder(client: Client) -> None:
    place = Path(folder().path).parent / "more"
    place.mkdir()
    added(ModelFolder, path=str(place), recursive="on", enabled="on")(client)


def add_alias(client: Client) -> None:
    changed(model, **{"aliases-TOTAL_FORMS": "2", "aliases-1-alias": "swift"})(client)
    assert ModelAlias.objects.filter(alias="swift", model=model()).exists()


def drop_alias(client: Client) -> None:
    ModelAlias.objects.create(alias="slow", model=model())
    revisions.keep()
    changed(model, **{"aliases-1-DELETE": "on"})(client)
    assert not ModelAlias.objects.filter(alias="slow").exists()


def vanish() -> None:
    file = model().file
    assert file is not None
    GgufFile.objects.filter(pk=file.pk).update(state=GgufFile.State.VANISHED)


def the_file() -> GgufFile:
    file = model().file
    assert file is not None
    return file


def make_models(client: Client) -> None:
    row = model()
    file = the_file()
    row.delete()
    revisions.keep()
    act(client, "make_models", file)


ACTS: dict[str, Act] = {
    "ServerSettings change": changed(ServerSettings.current, max_wait="77"),
    "ModelGroup add": added(ModelGroup, name="large"),
    "ModelGroup change": changed(group, start_port="9100"),
    "ModelGroup change members": lambda client: changed(group, members=[model().pk])(client),
    "ModelGroup delete": deleted(group),
    "ModelGroup delete_selected": done("delete_selected", group, post="yes"),
    "ModelFolder add": new_folder,
    "ModelFolder change": changed(folder, recursive=""),
    "ModelFolder delete": deleted(folder),
    "ModelFolder delete_selected": done("delete_selected", folder, post="yes"),
    "ModelFolder disable": done("disable", folder),
    "ModelFolder enable": done("enable", folder, lambda: ModelFolder.objects.update(enabled=False)),
    "ServedModel add": added(ServedModel, model_id="other", cmd="run ${PORT}"),
    "ServedModel change": changed(model, context="512"),
    "ServedModel change inline": add_alias,
    "ServedModel delete inline": drop_alias,
    "ServedModel delete": deleted(model),
    "ServedModel delete_selected": done("delete_selected", model, post="yes"),
    "ServedModel disable": done("disable", model),
    "ServedModel enable": done("enable", model, lambda: ServedModel.objects.update(enabled=False)),
    "ServedModel move_to_group": lambda client: done("move_to_group", model, group=group().pk)(
        client
    ),
    "ServedModel back_to_automatic": done(
        "back_to_automatic",
        model,
        lambda: ServedModel.objects.update(context=512),
        fields_to_empty=["context"],
    ),
    "VirtualModel add": added(VirtualModel, name="any", members='["fox-1b"]'),
    "VirtualModel change": lambda client: changed(virtual, members='["fox-1b", "big"]')(client),
    "VirtualModel delete": deleted(virtual),
    "VirtualModel delete_selected": done("delete_selected", virtual, post="yes"),
    "GgufFile forget": done("forget", the_file, vanish),
    "GgufFile make_models": make_models,
}
"""Acts that change the configuration, each by the table and what is done."""

WITHOUT_CHANGE = {
    "ModelFolder scan_now",
    "GgufFile scan_folders",
    "ServedModel load",
    "ServedModel regenerate",
    "ServedModel rescan",
    "ServedModel unload",
}
"""Acts that change no choice: they ask for a scan, or an engine. What comes of them is a change."""


def acts_of_the_admin() -> Iterator[str]:
    request = RequestFactory().get("/")
    request.user = User(is_staff=True, is_superuser=True, is_active=True)
    for table, registered in admin.site._registry.items():
        name = str(table._meta.object_name)
        if table._meta.app_label != "models_app" or name in NO_CONFIGURATION:
            continue
        yield from (f"{name} {action}" for action in registered.get_actions(request))
        if registered.has_add_permission(request):
            yield f"{name} add"
        if registered.has_change_permission(request):
            yield f"{name} change"
        if registered.has_delete_permission(request):
            yield f"{name} delete"
        for inline in registered.inlines:
            assert inline.model in (ModelAlias,)
            yield from (f"{name} change inline", f"{name} delete inline")


def test_no_act_is_left_out() -> None:
    walked = ACTS.keys() | WITHOUT_CHANGE
    assert set(acts_of_the_admin()) <= walked
    assert walked - set(acts_of_the_admin()) <= {"ModelGroup change members"}


@pytest.mark.parametrize("name", ACTS)
def test_it_becomes_a_revision_that_says_who_did_it(
    name: str, admin_client: Client, registry: ModelFolder
) -> None:
    Revision.objects.all().delete()
    revisions.keep()
    version = changes.current_version()
    ACTS[name](admin_client)
    assert changes.current_version() > version
    revision = revisions.keep()
    assert revision is not None
    assert revision.summary != []
    assert revision.author == "admin"
    assert revision.cause.startswith("admin: ")
    found = revisions.difference(revision)
    assert found.yaml or found.choices


def test_what_only_asks_for_something_is_no_revision(
    admin_client: Client, registry: ModelFolder
) -> None:
    revisions.keep()
    act(admin_client, "scan_now", registry)
    assert ScanRun.objects.exists()
    act(admin_client, "rescan", model())
    act(admin_client, "regenerate", model())
    assert revisions.keep() is None
