from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from models_app import catalog, changes, export, hand_edits, hardware, revisions
from models_app.config_yaml import parse, render
from models_app.hardware import GIB, Cpu, Machine, Ram
from models_app.models import (
    AuditEntry,
    ConfigFile,
    EngineBuild,
    GgufFile,
    ModelFolder,
    ModelGroup,
    Revision,
    ServedModel,
    ServerSettings,
)
from proxy_app.configuration_watch import ConfigurationWatch

pytestmark = pytest.mark.django_db

Kind = Revision.Kind


@pytest.fixture(autouse=True)
def file(tmp_path: Path, settings: Settings) -> Path:
    settings.CLARACORE_HOME = tmp_path
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )
    folder = ModelFolder.objects.create(path="/models")
    gguf = GgufFile.objects.create(
        folder=folder,
        path="/models/a.gguf",
        relative_path="a.gguf",
        size=420 * 1024**2,
        mtime_ns=1,
        last_seen_at=timezone.now(),
    )
    ServedModel.objects.create(model_id="auto", file=gguf)
    ServedModel.objects.create(model_id="own", cmd="run ${PORT}", ttl=5)
    ServedModel.objects.create(model_id="off", cmd="run ${PORT}", enabled=False)
    round_of_the_watch()
    return tmp_path / "config.yaml"


def round_of_the_watch() -> None:
    """What the serving process does when it sees a change."""
    hand_edits.take_in()
    version = changes.current_version()
    export.publish(catalog.build(), version)


def edit(file: Path, old: str, new: str) -> str:
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))
    return file.read_text()


def kept_files(file: Path) -> list[Path]:
    return sorted(file.parent.glob("*.kept"))


# ---- Taken in ----------------------------------------------------------------------------------


def test_an_edit_is_taken_in_and_the_text_stays_as_the_person_wrote_it(file: Path) -> None:
    text = edit(file, "    ttl: 5\n", "    ttl: 60   # long enough for tea\n")
    round_of_the_watch()
    assert ServedModel.objects.get(model_id="own").ttl == 60
    assert file.read_text() == text
    revision = revisions.newest()
    assert revision is not None
    assert revision.cause == "config.yaml edited by hand"
    assert revision.summary == ["model own: ttl 5 -> 60"]
    assert hand_edits.problems() == []
    round_of_the_watch()
    assert revisions.newest() == revision


def test_only_what_was_edited_changes(file: Path) -> None:
    edit(file, "    ttl: 5\n", "    ttl: 6\n")
    ServerSettings.objects.update(preload=["off", "own"])
    round_of_the_watch()
    assert ServedModel.objects.get(model_id="auto").cmd == ""
    assert ServedModel.objects.get(model_id="off").enabled is False
    assert ServerSettings.current().preload == ["off", "own"]


def test_an_edit_is_in_the_audit_log_with_what_it_changed(file: Path) -> None:
    edit(file, "ttl: 5", "ttl: 77")
    round_of_the_watch()
    noted = AuditEntry.objects.get()
    assert (noted.what, noted.before, noted.after) == (
        hand_edits.CAUSE,
        {"own": {"ttl": 5}},
        {"own": {"ttl": 77}},
    )


def test_models_and_groups_come_and_go_with_the_file(file: Path) -> None:
    document = parse(file.read_text()).document
    models = {name: entry for name, entry in document.models.items() if name != "own"}
    text = "models:\n  fresh: {cmd: 'run ${PORT}'}\n  auto:\n    cmd: |\n"
    text += "".join(f"      {line}\n" for line in models["auto"].cmd.split("\n"))
    file.write_text(text + "globalTTL: 7\ngroups: {pair: {members: [auto, fresh]}}\n")
    round_of_the_watch()
    served = catalog.build()
    assert set(served.models) == {"auto", "fresh"}
    assert served.groups["pair"].members == ("auto", "fresh")
    assert served.global_ttl == 7
    assert ServedModel.objects.get(model_id="auto").cmd == ""
    assert not ServedModel.objects.filter(model_id="own").exists()
    assert ServedModel.objects.filter(model_id="off").exists()


def test_a_model_with_a_file_is_disabled_rather_than_deleted(file: Path) -> None:
    file.write_text("models: {own: {cmd: 'run ${PORT}'}}\n")
    round_of_the_watch()
    assert ServedModel.objects.get(model_id="auto").enabled is False


def test_a_text_with_comments_is_kept_beside_when_the_file_is_written_anew(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = edit(file, "    ttl: 5\n", "    ttl: 6  # mine\n")
    round_of_the_watch()
    ServerSettings.objects.update(default_ttl=9)
    round_of_the_watch()
    assert file.read_text() == render(catalog.build())
    (kept,) = kept_files(file)
    assert kept.read_text() == text
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert f"is kept as {kept}" in caplog.text


def test_at_most_so_many_texts_are_kept(file: Path) -> None:
    for number in range(export.MOST_KEPT + 3):
        kept = export.keep_beside(file, str(number).encode())
        os.utime(kept, (number, number))
    assert len(kept_files(file)) == export.MOST_KEPT
    assert export.keep_beside(file, b"0") in kept_files(file)


def test_an_edit_made_while_the_server_was_down_is_taken_in(file: Path) -> None:
    edit(file, "    ttl: 5\n", "    ttl: 6\n")
    ServedModel.objects.filter(model_id="own").update(name="Another")
    round_of_the_watch()
    row = ServedModel.objects.get(model_id="own")
    assert (row.ttl, row.name) == (6, "Another")
    assert file.read_text() == render(catalog.build())


def test_an_older_text_put_back_is_an_edit_too(file: Path) -> None:
    older = file.read_text()
    ServedModel.objects.filter(model_id="own").update(ttl=70)
    round_of_the_watch()
    file.write_text(older)
    round_of_the_watch()
    assert ServedModel.objects.get(model_id="own").ttl == 5


def test_a_file_from_elsewhere_in_a_new_home_adds_to_what_there_is(file: Path) -> None:
    ConfigFile.objects.all().delete()
    Revision.objects.all().delete()
    file.write_text("models: {theirs: {cmd: 'run ${PORT}'}}\n")
    round_of_the_watch()
    assert set(catalog.build().models) == {"auto", "own", "theirs"}
    assert len(kept_files(file)) == 1


def test_a_secret_in_the_file_survives_an_edit_elsewhere_in_it(file: Path) -> None:
    ServerSettings.objects.update(kept_keys={"apiKeys": ["sk-hunter2"]})
    round_of_the_watch()
    edit(file, "    ttl: 5\n", "    ttl: 6\n")
    round_of_the_watch()
    assert hand_edits.problems() == []
    assert ServerSettings.current().kept_keys == {"apiKeys": ["sk-hunter2"]}


# ---- Refused -----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_used_is_left_alone_with_a_clear_complaint(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = catalog.build()
    text = edit(file, "    ttl: 5\n", "    ttl: soon\n")
    round_of_the_watch()
    assert catalog.build() == before
    assert file.read_text() == text
    (problem,) = hand_edits.problems()
    line = text[: text.index("ttl: soon")].count("\n") + 1
    assert f'line {line}: `ttl` of model "own" must be a whole number' in problem
    assert problem.splitlines()[0].startswith("config.yaml was edited and cannot be used")
    assert "cannot be used, so it is left alone: line" in caplog.text
    caplog.clear()
    round_of_the_watch()
    assert caplog.text == ""


def test_a_bad_file_is_not_written_over_by_changes_elsewhere_and_merges_once_mended(
    file: Path,
) -> None:
    text = edit(file, "    ttl: 5\n", "    ttl: soon\n")
    round_of_the_watch()
    ServedModel.objects.filter(model_id="own").update(name="Another")
    round_of_the_watch()
    assert file.read_text() == text
    edit(file, "    ttl: soon\n", "    ttl: 90\n")
    round_of_the_watch()
    row = ServedModel.objects.get(model_id="own")
    assert (row.ttl, row.name) == (90, "Another")
    assert hand_edits.problems() == []


def test_a_bad_file_that_is_deleted_or_put_back_comes_to_rest(file: Path) -> None:
    good = file.read_text()
    edit(file, "    ttl: 5\n", "    ttl: soon\n")
    round_of_the_watch()
    file.write_text(good)
    round_of_the_watch()
    assert hand_edits.problems() == []
    edit(file, "    ttl: 5\n", "    ttl: soon\n")
    round_of_the_watch()
    file.unlink()
    round_of_the_watch()
    assert hand_edits.problems() == []
    assert file.read_text() == good


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "not UTF-8"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n" * 2, "stands here twice"),
        (b"#" * 10_000_000, "larger than 4 MiB"),
        (b"[" * 5000, "nested more than"),
    ],
)
def test_hopeless_files_are_refused(file: Path, data: bytes, reason: str) -> None:
    file.write_bytes(data)
    round_of_the_watch()
    assert reason in hand_edits.problems()[0]
    assert file.read_bytes() == data


def test_a_folder_in_its_place_is_complained_about_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    file.mkdir()
    round_of_the_watch()
    assert "It cannot be read: Is a directory." in hand_edits.problems()[0]
    assert hand_edits.is_as_left()
    file.rmdir()
    round_of_the_watch()
    assert hand_edits.problems() == []
    assert file.read_text() == render(catalog.build())


# ---- Both at once --------------------------------------------------------------------------------


def test_an_edit_and_a_change_of_different_things_are_both_taken(file: Path) -> None:
    edit(file, "    ttl: 5\n", "    ttl: 60\n")
    ServedModel.objects.filter(model_id="auto").update(context=2048, name="Auto")
    ModelGroup.objects.create(name="g")
    round_of_the_watch()
    assert ServedModel.objects.get(model_id="own").ttl == 60
    row = ServedModel.objects.get(model_id="auto")
    assert (row.context, row.name, row.cmd) == (2048, "Auto", "")
    assert set(catalog.build().groups) == {"g"}
    assert hand_edits.problems() == []


def contradict(file: Path) -> Revision:
    edit(file, "    ttl: 5\n", "    ttl: 60\n    name: Mine  # a comment\n")
    ServedModel.objects.filter(model_id="own").update(ttl=70)
    round_of_the_watch()
    return Revision.objects.get(kind=Kind.WAITING)


def test_of_contradicting_changes_neither_is_lost(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = contradict(file)
    assert ServedModel.objects.get(model_id="own").ttl == 70
    assert file.read_text() == render(catalog.build())
    (kept,) = kept_files(file)
    assert "ttl: 60\n    name: Mine  # a comment" in kept.read_text()
    assert "ttl: 60" in waiting.yaml
    assert waiting.summary == ["model own: ttl was changed there and here"]
    (problem,) = hand_edits.problems()
    assert f"waits as revision {waiting.pk}: model own: ttl was changed there and here" in problem
    assert f"manage.py config apply {waiting.pk}" in caplog.text
    assert revisions.newest() != waiting
    assert "+    ttl: 60" in revisions.difference(waiting).yaml


def test_edits_that_follow_each_other_before_the_next_revision_contradict_nothing(
    file: Path,
) -> None:
    edit(file, "    ttl: 5\n", "    ttl: 60\n")
    hand_edits.take_in()
    edit(file, "    ttl: 60\n", "    ttl: 70\n")
    hand_edits.take_in()
    edit(file, "    ttl: 70\n", "    ttl: 80\n")
    round_of_the_watch()
    assert hand_edits.problems() == []
    assert ServedModel.objects.get(model_id="own").ttl == 80
    assert ConfigFile.current().taken_yaml == ""


def test_an_edit_that_waits_can_be_applied(file: Path) -> None:
    waiting = contradict(file)
    ServedModel.objects.filter(model_id="auto").update(name="Later")
    hand_edits.apply(waiting, "ann")
    round_of_the_watch()
    row = ServedModel.objects.get(model_id="own")
    assert (row.ttl, row.name) == (60, "Mine")
    assert ServedModel.objects.get(model_id="auto").name == "Later"
    newest = revisions.newest()
    assert newest is not None
    assert (newest.author, newest.summary[0]) == ("ann", "model auto: name none -> Later")
    assert hand_edits.problems() == []
    with pytest.raises(hand_edits.NotWaiting):
        hand_edits.apply(Revision.objects.get(pk=waiting.pk))


def test_an_edit_that_waits_can_be_dismissed(file: Path) -> None:
    hand_edits.dismiss(contradict(file))
    assert hand_edits.problems() == []
    assert ServedModel.objects.get(model_id="own").ttl == 70
    with pytest.raises(hand_edits.NotWaiting):
        hand_edits.dismiss(Revision.objects.latest("pk"))


def test_what_the_server_learned_meanwhile_contradicts_nothing(file: Path) -> None:
    edit(file, "    ttl: 5\n", "    ttl: 60\n")
    EngineBuild.objects.update(path="/opt/newer/llama-server")
    round_of_the_watch()
    assert hand_edits.problems() == []
    assert ServedModel.objects.get(model_id="auto").cmd == ""


# ---- The watch -----------------------------------------------------------------------------------


def watch() -> ConfigurationWatch:
    made = ConfigurationWatch()
    made.look()
    made.done()
    return made


def test_the_watch_sees_changes_of_the_database_at_once() -> None:
    looking = watch()
    assert not looking.look()
    ServerSettings.objects.update(default_ttl=1)
    assert looking.look()
    assert looking.look()
    looking.done()
    assert not looking.look()


def test_the_watch_waits_until_a_file_is_written_to_its_end(file: Path) -> None:
    looking = watch()
    file.write_text("models:")
    assert not looking.look()
    file.write_text("models: {own: {cmd: 'run ${PORT}'}}")
    assert not looking.look()
    assert looking.look() and looking.is_settled
    round_of_the_watch()
    looking.done()
    assert looking.look()  # what the edit changed in the database
    looking.done()
    assert not looking.look()


def test_half_a_file_waits_although_the_database_changed(file: Path) -> None:
    looking = watch()
    ServerSettings.objects.update(default_ttl=1)
    file.write_text("models:")
    assert looking.look() and not looking.is_settled
    export.publish(catalog.build())
    looking.done()
    assert file.read_text() == "models:"
    file.write_text("models: {own: {cmd: 'run ${PORT}'}}")
    assert [looking.look() for _ in range(2)] == [False, True]
    assert looking.is_settled


def test_what_the_server_wrote_itself_is_no_change(file: Path) -> None:
    looking = watch()
    ServerSettings.objects.update(default_ttl=1)
    assert looking.look()
    round_of_the_watch()
    looking.done()
    assert not any(looking.look() for _ in range(4))
    edit(file, "    ttl: 5\n", "    ttl: soon\n")
    assert [looking.look() for _ in range(2)] == [False, True]
    round_of_the_watch()
    looking.done()
    assert not any(looking.look() for _ in range(4))


def test_the_watch_sees_that_the_file_is_gone(file: Path) -> None:
    looking = watch()
    file.unlink()
    assert [looking.look() for _ in range(2)] == [False, True]
