from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from models_app import catalog, causes, hardware, revisions, snapshot
from models_app.config_yaml import ParsedConfig, parse
from models_app.hardware import GIB, Cpu, Machine, Ram
from models_app.importing import apply, preview
from models_app.models import (
    ChangeNote,
    EngineBuild,
    GgufFile,
    KeptSecret,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    Revision,
    ServedModel,
    ServerSettings,
    VirtualModel,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, settings: Settings) -> None:
    settings.CLARACORE_HOME = tmp_path
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )


def make_file(path: str = "/models/a.gguf", **values: Any) -> GgufFile:
    folder, _ = ModelFolder.objects.get_or_create(path="/models")
    columns = {"size": 420 * 1024**2, "mtime_ns": 1, "last_seen_at": timezone.now(), **values}
    return GgufFile.objects.create(
        folder=folder, path=path, relative_path=path.removeprefix("/models/"), **columns
    )


def kept() -> Revision:
    revision = revisions.keep()
    assert revision is not None
    return revision


# ---- What becomes a revision -------------------------------------------------------------------


def test_a_change_of_choices_alone_is_a_revision() -> None:
    kept()
    ServerSettings.objects.update(max_wait=99)
    revision = kept()
    assert revision.summary == ["setting max_wait 20 -> 99"]
    assert revisions.difference(revision).yaml == ""
    assert "+  max_wait: 99" in revisions.difference(revision).choices
    assert revisions.keep() is None


def test_a_revision_tells_what_changed_in_words_and_lines() -> None:
    ServedModel.objects.create(model_id="a", cmd="run ${PORT}", ttl=5)
    kept()
    group = ModelGroup.objects.create(name="g")
    ServedModel.objects.update(ttl=7, group=group)
    ServedModel.objects.create(model_id="b", file=make_file())
    found = revisions.difference(kept())
    assert found.summary == (
        "models added: b",
        "model a: group none -> g, ttl 5 -> 7",
        "groups added: g",
        "folders added: /models",
        "now served: b",
    )
    assert "-    ttl: 5\n+    ttl: 7" in found.yaml
    ServedModel.objects.filter(model_id="b").update(enabled=False)
    assert kept().summary == ["model b: enabled none -> False", "no longer served: b"]


def test_what_came_of_a_change_is_told_as_well() -> None:
    ServedModel.objects.create(model_id="a", file=make_file())
    kept()
    EngineBuild.objects.update(path="/opt/newer/llama-server")
    assert kept().summary == ["started with another command: a"]


def test_two_revisions_far_apart_can_be_compared() -> None:
    first = kept()
    for seconds in (1, 2):
        ServerSettings.objects.update(default_ttl=seconds)
        last = kept()
    assert revisions.difference(last, first).summary == ("setting default_ttl 300 -> 2",)


def test_a_revision_knows_why_and_by_whom() -> None:
    kept()
    with causes.told("page of settings", "ann"):
        ServerSettings.objects.update(default_ttl=1)
    revision = kept()
    assert (revision.cause, revision.author) == ("page of settings", "ann")
    assert not ChangeNote.objects.exists()
    ServerSettings.objects.update(default_ttl=2)
    assert kept().cause == ""


def test_a_revision_made_before_its_reason_was_told_hears_of_it() -> None:
    kept()
    with causes.told("slow page", "ann"):
        ServerSettings.objects.update(default_ttl=1)
        revision = kept()
    revision.refresh_from_db()
    assert (revision.cause, revision.author) == ("slow page", "ann")
    assert not ChangeNote.objects.exists()


def test_the_closer_reason_is_told_and_nothing_for_no_change() -> None:
    kept()
    with causes.told("POST /api/config", "ann"), causes.told("import"):
        ServerSettings.objects.update(default_ttl=1)
    with causes.told("nothing"):
        pass
    with causes.told("there and back"):
        ServerSettings.objects.update(default_ttl=2)
        ServerSettings.objects.update(default_ttl=1)
    revision = kept()
    assert (revision.cause, revision.author) == ("import; there and back", "ann")


# ---- Secrets -------------------------------------------------------------------------------------


def test_no_secret_is_in_a_revision_and_going_back_brings_it_back() -> None:
    apply(
        parse(
            "apiKeys: [sk-hunter2]\nmacros: {token: sk-macro}\n"
            "models: {a: {cmd: 'run ${PORT} --api-key sk-cmd', env: [HF_TOKEN=sk-env]}}"
        )
    )
    before = catalog.build()
    first = kept()
    for value in Revision.objects.values():
        assert "sk-" not in str(value)
    assert KeptSecret.objects.count() == 4
    assert first.digest != revisions.digest_of(first.yaml.encode())
    ServedModel.objects.all().delete()
    ServerSettings.objects.update(macros={}, kept_keys={})
    kept()
    revisions.rollback(first)
    assert catalog.build() == before


def test_a_setting_that_is_a_secret_is_in_no_snapshot() -> None:
    names = {field.name for field in ServerSettings._meta.concrete_fields}
    left_out = names - snapshot.take()["settings"].keys() - {"id"}
    assert left_out == snapshot.secret_settings()
    assert not left_out & {"require_api_key", "first_token_timeout", "max_wait"}


# ---- Going back ----------------------------------------------------------------------------------


def fill() -> None:
    """Something of everything that people choose."""
    group = ModelGroup.objects.create(name="g", swap=False, start_port=9100)
    ModelGroup.objects.create(name="empty", persistent=True)
    projector = make_file("/models/p.gguf")
    auto = ServedModel.objects.create(
        model_id="auto", file=make_file(), context=2048, group=group, projector=projector
    )
    ModelAlias.objects.create(alias="auto-long", model=auto, automatic=True)
    ModelAlias.objects.create(alias="mine", model=auto)
    ServedModel.objects.create(model_id="plain", file=make_file("/models/b.gguf"))
    ServedModel.objects.create(model_id="own", cmd="run ${PORT}", env=["A=1"], set_params={"t": 1})
    ServedModel.objects.create(model_id="off", cmd="run ${PORT}", enabled=False)
    VirtualModel.objects.create(name="any", members=["own", "auto"])
    ServerSettings.objects.create(pk=1, max_wait=3, macros={"m": "1"}, preload=["own", "off"])


def test_going_back_restores_every_choice_and_is_a_revision_of_its_own() -> None:
    fill()
    columns = ("pk", "model_id", "context", "cmd", "file", "projector", "enabled", "created_at")
    rows = list(ServedModel.objects.exclude(model_id="own").values(*columns))
    choices, document = snapshot.take(), catalog.build()
    first = kept()
    ServedModel.objects.filter(model_id="own").delete()
    ServedModel.objects.filter(model_id="auto").update(context=None, cmd="mine ${PORT}", group=None)
    ServedModel.objects.filter(model_id="off").update(enabled=True)
    ServedModel.objects.create(model_id="new", cmd="run ${PORT}")
    ServedModel.objects.create(model_id="scanned", file=make_file("/models/c.gguf"))
    ModelAlias.objects.filter(alias="mine").update(alias="yours")
    ModelGroup.objects.filter(name="g").update(name="h")
    ServerSettings.objects.update(max_wait=4, macros={}, preload=[])
    ModelFolder.objects.update(enabled=False)
    VirtualModel.objects.update(name="none")
    changed = kept()
    done = revisions.rollback(first, "ann")
    assert done.revision is not None and done.warnings == ()
    assert done.revision.pk > changed.pk
    assert (done.revision.cause, done.revision.author) == (f"back to revision {first.pk}", "ann")
    assert catalog.build() == document
    assert ServedModel.objects.get(model_id="scanned").enabled is False
    assert not ServedModel.objects.filter(model_id="new").exists()
    ServedModel.objects.filter(model_id="scanned").delete()
    assert snapshot.take() == choices
    assert list(ServedModel.objects.exclude(model_id="own").values(*columns)) == rows
    ServedModel.objects.create(model_id="later", cmd="x ${PORT}")
    revisions.rollback(changed)
    assert ServedModel.objects.get(model_id="off").enabled


def test_going_back_never_makes_an_automatic_command_a_fixed_one() -> None:
    model = ServedModel.objects.create(model_id="a", file=make_file())
    first = kept()
    EngineBuild.objects.update(path="/opt/newer/llama-server")
    ServedModel.objects.update(name="Another")
    kept()
    revisions.rollback(first)
    model.refresh_from_db()
    assert (model.cmd, model.name) == ("", "")
    assert catalog.build().models["a"].cmd.startswith("/opt/newer/llama-server")


def test_going_back_keeps_what_nobody_had_kept_yet() -> None:
    first = kept()
    ServerSettings.objects.update(default_ttl=1)
    revisions.rollback(first)
    assert [row.summary for row in Revision.objects.all()] == [
        ["setting default_ttl 1 -> 300"],
        ["setting default_ttl 300 -> 1"],
        [],
    ]


def test_going_back_to_the_present_changes_nothing() -> None:
    assert revisions.rollback(kept()).revision is None


def test_going_back_says_which_file_of_a_model_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    ServedModel.objects.create(model_id="a", file=make_file(str(file)))
    first = kept()
    ServedModel.objects.all().delete()
    kept()
    done = revisions.rollback(first)
    assert done.warnings == (f"The file {file} of a is not there now. Bring it back.",)
    assert ServedModel.objects.get().model_id == "a"


def test_going_back_says_what_is_lost_for_good() -> None:
    ServedModel.objects.create(model_id="a", file=make_file(), name="A")
    first = kept()
    ModelFolder.objects.all().delete()
    ServedModel.objects.all().delete()
    done = revisions.rollback(first)
    assert [text.split(" is not")[0] for text in done.warnings] == [
        "The folder /models",
        "The file /models/a.gguf of a",
    ]
    assert ServedModel.objects.get().name == "A"


def test_what_was_learned_stays_known() -> None:
    model = ServedModel.objects.create(model_id="a", file=make_file())
    first = kept()
    ServedModel.objects.update(rung={"caps": 1}, name="x")
    revisions.rollback(first)
    model.refresh_from_db()
    assert model.rung == {"caps": 1}


def test_an_old_revision_without_choices_is_gone_back_to_by_its_text() -> None:
    text = "models: {a: {cmd: 'run ${PORT}'}}\nglobalTTL: 9\n"
    old = Revision.objects.create(digest="x", yaml=text)
    ServedModel.objects.create(model_id="b", cmd="run ${PORT}")
    revisions.rollback(old)
    assert catalog.build() == parse(text).document
    broken = Revision.objects.create(digest="y", yaml="models: [")
    with pytest.raises(revisions.CannotGoBack, match="cannot be used any more: line 2"):
        revisions.rollback(broken)


# ---- Old ones --------------------------------------------------------------------------------


def test_old_revisions_are_dropped_by_number_and_by_size() -> None:
    for seconds in range(6):
        ServerSettings.objects.update_or_create(pk=1, defaults={"default_ttl": seconds})
        kept()
    waiting = Revision.objects.create(kind=Revision.Kind.WAITING, digest="x", yaml="x")
    ServerSettings.objects.update(revisions_kept=3)
    kept()
    assert Revision.objects.exclude(pk=waiting.pk).count() == 3
    ServerSettings.objects.update(revisions_megabytes=1)
    Revision.objects.filter(kind=Revision.Kind.CHANGE).update(size=600_000)
    newest = kept()
    assert Revision.objects.exclude(pk=waiting.pk)[0] == newest
    assert Revision.objects.exclude(pk=waiting.pk).count() == 2
    Revision.objects.filter(pk=newest.pk).update(size=9_000_000)
    revisions.prune()
    assert set(Revision.objects.values_list("pk", flat=True)) == {newest.pk, waiting.pk}


# ---- Looking ahead ---------------------------------------------------------------------------


def test_a_preview_says_what_an_import_would_do_and_does_nothing() -> None:
    ServedModel.objects.create(model_id="a", cmd="run ${PORT}")
    before = catalog.build()
    text = "models: {b: {cmd: 'run ${PORT}', later: 1}}\nstartPort: 9000\n"
    found = preview(text, replace=True)
    assert catalog.build() == found.before == before
    assert (found.report.created, found.report.removed) == (("b",), ("a",))
    assert found.after.start_port == 9000
    assert "models added: b" in found.summary and "models removed: a" in found.summary
    assert "setting start_port 8100 -> 9000" in found.summary
    assert "+startPort: 9000" in found.difference
    assert len(found.report.warnings) == 1
    assert preview(text).after == apply_and_build(parse(text))


def apply_and_build(parsed: ParsedConfig) -> Any:
    apply(parsed)
    return catalog.build()
