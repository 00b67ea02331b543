from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from models_app import folders
from models_app.facts import FileFacts
from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.scan import Progress, scan, settle
from tests.ggufs import cut, write_gguf, write_projector, write_reciter, write_split
from tests.integration.scan.rows import file, files, ids, read_paths, reciter

pytestmark = pytest.mark.django_db

State = GgufFile.State


def test_it_keeps_the_facts_of_a_file(models: Path, tracked: ModelFolder) -> None:
    path = reciter(models / "fox-q4_k_m.gguf")

    (summary,) = scan([tracked])

    row = file("fox-q4_k_m.gguf")
    facts = FileFacts.from_json(row.facts)
    assert (row.path, row.size, row.kind) == (str(path), path.stat().st_size, "chat")
    assert (row.architecture, row.quantization, row.context_length) == ("llama", "F32", 4096)
    assert row.parameters == facts.parameters > 0
    assert facts.name == "Reciter"
    tracked.refresh_from_db()
    assert tracked.last_scanned_at is not None and tracked.problem == ""
    assert summary == {
        "folder": str(models),
        "status": "success",
        "models": 1,
        "files": 1,
        "read": 1,
        "vanished": 0,
        "unreadable": 0,
        "incomplete": 0,
        "problems": 0,
    }


def test_facts_that_no_database_column_takes_are_made_to_fit(
    models: Path, tracked: ModelFolder
) -> None:
    extra = {"general.name": "a\0b" + "x" * 1000, "general.license": "\0"}
    write_gguf(models / "odd.gguf", "a" * 300, {"{arch}.block_count": 1}, {})
    reciter(models / "nul.gguf", **extra)

    scan([tracked])

    assert set(files()) == {"nul.gguf", "odd.gguf"}
    assert file("nul.gguf").state == State.OK
    assert "\0" not in file("nul.gguf").facts["name"]


def test_it_opens_only_what_is_new_or_changed(models: Path, tracked: ModelFolder) -> None:
    for name in ("a.gguf", "b.gguf"):
        reciter(models / name)

    assert read_paths(tracked) == ["a.gguf", "b.gguf"]
    assert read_paths(tracked) == []

    os.utime(models / "b.gguf", ns=(1, 1))
    reciter(models / "c.gguf")
    assert read_paths(tracked) == ["b.gguf", "c.gguf"]


def test_facts_of_an_older_reader_are_read_again(models: Path, tracked: ModelFolder) -> None:
    reciter(models / "a.gguf")
    scan([tracked])
    GgufFile.objects.update(facts={"kind": "chat"})

    assert read_paths(tracked) == ["a.gguf"]
    assert file("a.gguf").facts["name"] == "Reciter"


def test_files_that_cannot_be_read_keep_their_reason_and_stop_nothing(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "good.gguf")
    cut(reciter(models / "short.gguf"), -1000)
    (models / "empty.gguf").touch()
    (models / "page.gguf").write_text("<html>Not found</html>")

    (summary,) = scan([tracked])

    assert files() == {
        "empty.gguf": State.UNREADABLE,
        "good.gguf": State.OK,
        "page.gguf": State.UNREADABLE,
        "short.gguf": State.UNREADABLE,
    }
    assert file("page.gguf").problem.startswith("The file begins with b'<htm'")
    assert "1,000 bytes are missing" in file("short.gguf").problem
    assert ids() == {"good": "good.gguf"}
    assert (summary["models"], summary["unreadable"]) == (1, 3)


def test_a_file_that_was_still_being_copied_is_served_once_it_is_whole(
    models: Path, tracked: ModelFolder
) -> None:
    path = reciter(models / "big.gguf")
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(whole[:5000])
    scan([tracked])
    assert ids() == {}

    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    scan([tracked])

    assert ids() == {"big": "big.gguf"}
    assert file("big.gguf").problem == ""


def test_a_vanished_file_is_marked_and_its_model_waits_for_it(
    models: Path, tracked: ModelFolder
) -> None:
    path = reciter(models / "a.gguf")
    scan([tracked])
    ServedModel.objects.update(context=8192)
    aside = path.rename(models / "a.aside")

    (summary,) = scan([tracked])
    row = file("a.gguf")
    assert (row.state, row.problem) == (State.VANISHED, "The file is no longer there.")
    assert (summary["models"], summary["vanished"]) == (0, 1)
    assert ids() == {"a": "a.gguf"}

    aside.rename(path)
    scan([tracked])
    assert files() == {"a.gguf": State.OK}
    assert ServedModel.objects.get().context == 8192


def test_a_folder_that_is_gone_is_an_error_of_its_own(tmp_path: Path, models: Path) -> None:
    reciter(models / "a.gguf")
    (tmp_path / "other").mkdir()
    gone, there = folders.add(tmp_path / "other"), folders.add(models)
    (tmp_path / "other").rmdir()

    summaries = {item["folder"]: item for item in scan([there, gone])}

    assert summaries[str(models)]["models"] == 1
    assert summaries[gone.path]["status"] == "error"
    assert summaries[gone.path]["error"] == f"{gone.path}: it is not there."
    gone.refresh_from_db()
    assert gone.problem == f"{gone.path}: it is not there."


def test_a_split_model_is_one_model_and_only_when_whole(models: Path, tracked: ModelFolder) -> None:
    parts = write_split(models / "big-q4_k_m", 4)
    aside = parts[3].rename(models / "aside")
    scan([tracked])
    assert ids() == {}
    assert set(files().values()) == {State.INCOMPLETE}
    assert file(parts[0].name).problem == "Part 4 of 4 is missing."

    aside.rename(parts[3])
    scan([tracked])
    assert ids() == {"big": parts[0].name}
    assert set(files().values()) == {State.OK}
    first = file(parts[0].name)
    assert [part.relative_path for part in first.later_parts.all()] == [p.name for p in parts[1:]]
    assert first.parameters == sum(row.facts["parameters"] for row in GgufFile.objects.all())
    assert ServedModel.objects.get().name == "big-q4_k_m"

    # Its model stays when a part goes, and is whole again when the part is back.
    parts[1].rename(models / "aside")
    scan([tracked])
    assert file(parts[0].name).state == State.INCOMPLETE
    (models / "aside").rename(parts[1])
    assert read_paths(tracked) == []
    assert set(files().values()) == {State.OK}
    assert ids() == {"big": parts[0].name}


def test_the_fitting_projector_is_found_and_one_that_comes_later_too(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "seer" / "seer-2b-it-q4_0.gguf")
    scan([tracked])
    model = ServedModel.objects.get()
    assert model.projector_file() is None

    write_projector(models / "seer" / "mmproj-F16.gguf")
    scan([tracked])
    model = ServedModel.objects.get()
    found = model.projector_file()
    assert found is not None and found.relative_path == "seer/mmproj-F16.gguf"
    assert model.projector is None  # what a person may choose stays free

    model.use_projector = False
    assert model.projector_file() is None

    (models / "seer" / "mmproj-F16.gguf").unlink()
    scan([tracked])
    assert ServedModel.objects.get().projector_file() is None


def test_a_chat_model_with_a_projector_is_shown_as_what_it_can_take_in(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "seer" / "seer-2b-it-q4_0.gguf")
    reciter(models / "listener" / "listener-2b-it-q4_0.gguf")
    write_projector(models / "seer" / "mmproj-F16.gguf")
    ear = write_projector(models / "listener" / "mmproj-F16.gguf", sense="audio")
    scan([tracked])
    kinds = {row.relative_path: row.kind for row in GgufFile.objects.all()}
    assert kinds["seer/seer-2b-it-q4_0.gguf"] == "vision"
    assert kinds["listener/listener-2b-it-q4_0.gguf"] == "audio"
    assert kinds["seer/mmproj-F16.gguf"] == "projector"
    seer = ServedModel.objects.get(model_id="seer-2b-it")
    assert seer.kind() == "vision"

    # A person's choice counts for the model, not for the file.
    seer.use_projector = False
    assert seer.kind() == "chat"
    seer.use_projector, seer.projector = True, file("listener/mmproj-F16.gguf")
    assert seer.kind() == "audio"

    ear.unlink()
    scan([tracked])
    assert file("listener/listener-2b-it-q4_0.gguf").kind == "chat"
    assert file("seer/seer-2b-it-q4_0.gguf").kind == "vision"


def test_the_fitting_draft_model_is_found_and_used_only_when_asked_for(
    models: Path, tracked: ModelFolder
) -> None:
    write_reciter(models / "big.gguf", "Hello there.", layers=24)
    scan([tracked])
    assert file("big.gguf").draft is None

    small = write_reciter(models / "small.gguf", "Hello there.")
    write_reciter(models / "stranger.gguf", "Goodbye now.")
    scan([tracked])
    big = ServedModel.objects.get(model_id="big")
    assert file("big.gguf").draft == file("small.gguf")
    assert big.draft_file() is None
    assert file("small.gguf").draft is None

    big.use_draft = True
    assert big.draft_file() == file("small.gguf")
    big.draft = file("stranger.gguf")
    assert big.draft_file() == file("stranger.gguf")

    small.unlink()
    scan([tracked])
    assert file("big.gguf").draft is None


def test_a_folder_tracked_below_another_takes_its_files_over(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "sub" / "fox.gguf")
    scan([tracked])
    ModelFolder.objects.update(recursive=False)
    sub = folders.add(models / "sub")
    ModelFolder.objects.filter(pk=tracked.pk).update(recursive=True)

    scan(ModelFolder.objects.all())

    row = GgufFile.objects.get()
    assert (row.folder, row.relative_path, row.state) == (sub, "fox.gguf", State.OK)
    assert ids() == {"fox": "fox.gguf"}


def test_what_a_folder_no_longer_covers_is_no_longer_served(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "sub" / "fox.gguf")
    scan([tracked])
    ModelFolder.objects.update(recursive=False)
    scan(ModelFolder.objects.all())

    row = GgufFile.objects.get()
    assert row.state == State.VANISHED
    assert row.problem == "It is not among what its folder covers now."


def test_a_folder_removed_while_it_is_scanned_leaves_nothing_behind(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "a.gguf")

    def report(progress: Progress) -> None:
        if progress.step == "Reading files":
            folders.remove(ModelFolder.objects.get())

    scan([tracked], report)

    assert (files(), ids()) == ({}, {})


def test_it_tells_its_progress(models: Path, tracked: ModelFolder) -> None:
    reciter(models / "a\nb.gguf")
    told: list[Progress] = []

    scan([tracked], told.append)

    assert told == [
        Progress("Looking through folders", str(models)),
        Progress("Reading files", "a\\nb.gguf", 1, 0),
        Progress("Registering models", "", 1, 1),
    ]


def test_it_can_be_ended_between_files_and_the_next_scan_makes_it_whole(
    models: Path, tracked: ModelFolder
) -> None:
    for name in ("a.gguf", "b.gguf"):
        reciter(models / name)

    def report(progress: Progress) -> None:
        if progress.current == "b.gguf":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        scan([tracked], report)
    scan([tracked])

    assert sorted(ids()) == ["a", "b"]


def test_many_unchanged_files_take_few_queries(
    models: Path, tracked: ModelFolder, django_assert_max_num_queries: Any
) -> None:
    source = reciter(models / "m000.gguf")
    for number in range(1, 150):
        shutil.copy(source, models / f"m{number:03d}.gguf")
    scan([tracked])
    assert ServedModel.objects.count() == 150

    with django_assert_max_num_queries(20):
        scan([tracked])


def test_settling_twice_changes_nothing(models: Path, tracked: ModelFolder) -> None:
    write_split(models / "big", 2)
    reciter(models / "fox.gguf")
    write_projector(models / "mmproj-fox.gguf")
    scan([tracked])
    before = list(GgufFile.objects.values())

    settle()

    assert list(GgufFile.objects.values()) == before
