from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from models_app import folders
from models_app.choices import back_to_automatic, chosen
from models_app.facts import FileFacts
from models_app.models import GgufFile, ModelAlias, ModelFolder, ModelGroup, ServedModel
from models_app.scan import Progress, scan, settle
from tests.ggufs import (
    cut,
    write_embedder,
    write_gguf,
    write_projector,
    write_reciter,
    write_split,
)

pytestmark = pytest.mark.django_db

State = GgufFile.State


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def tracked(models: Path) -> ModelFolder:
    return folders.add(models)


def reciter(path: Path, **metadata: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_reciter(path, "Hello there.", metadata=metadata)


def ids() -> dict[str, str]:
    """Each model's id, and the file it is served from."""
    return {
        model.model_id: model.file.relative_path if model.file else ""
        for model in ServedModel.objects.select_related("file")
    }


def files() -> dict[str, str]:
    return dict(GgufFile.objects.values_list("relative_path", "state"))


def file(relative_path: str) -> GgufFile:
    return GgufFile.objects.get(relative_path=relative_path)


def read_paths(folder: ModelFolder) -> list[str]:
    """The files that a scan of `folder` opens."""
    seen: list[str] = []

    def report(progress: Progress) -> None:
        if progress.step == "Reading files":
            seen.append(progress.current)

    scan([folder], report)
    return seen


def test_it_makes_a_model_of_each_file_that_can_be_served(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "Fox-1B-Instruct-Q4_K_M.gguf")
    (models / "sub").mkdir()
    write_embedder(models / "sub" / "letters.gguf")

    summary = scan([tracked])

    assert ids() == {
        "fox-1b-instruct": "Fox-1B-Instruct-Q4_K_M.gguf",
        "letters": "sub/letters.gguf",
    }
    assert list(ModelAlias.objects.values_list("alias", "model__model_id", "automatic")) == [
        ("fox-1b-instruct-q4-k-m", "fox-1b-instruct", True)
    ]
    fox = ServedModel.objects.get(model_id="fox-1b-instruct")
    assert fox.name == "Fox-1B-Instruct-Q4_K_M"
    assert fox.description.startswith("Model size: ")
    assert fox.description.endswith("Quantization: F32 - Instruction-tuned")
    assert summary == [
        {
            "folder": str(models),
            "status": "success",
            "models": 2,
            "files": 2,
            "read": 2,
            "vanished": 0,
            "unreadable": 0,
            "incomplete": 0,
            "problems": 0,
        }
    ]


def test_it_keeps_the_facts_of_a_file(models: Path, tracked: ModelFolder) -> None:
    path = reciter(models / "fox-q4_k_m.gguf")

    scan([tracked])

    row = file("fox-q4_k_m.gguf")
    facts = FileFacts.from_json(row.facts)
    assert (row.path, row.size, row.kind) == (str(path), path.stat().st_size, "chat")
    assert (row.architecture, row.quantization, row.context_length) == ("llama", "F32", 4096)
    assert row.parameters == facts.parameters > 0
    assert facts.name == "Reciter"
    tracked.refresh_from_db()
    assert tracked.last_scanned_at is not None and tracked.problem == ""


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


def test_a_scan_never_touches_what_a_person_set(models: Path, tracked: ModelFolder) -> None:
    reciter(models / "a.gguf")
    scan([tracked])
    group = ModelGroup.objects.create(name="small")
    values = {
        "model_id": "mine",
        "name": "My model",
        "description": "Mine.",
        "enabled": False,
        "context": 1024,
        "slots": 3,
        "ttl": 0,
        "group": group,
    }
    ServedModel.objects.update(**values)

    reciter(models / "a.gguf", **{"general.name": "Another"})
    scan([tracked])

    model = ServedModel.objects.get()
    assert {name: getattr(model, name) for name in values} == values
    assert file("a.gguf").facts["name"] == "Another"
    assert chosen(model) == ["context", "slots"]
    back_to_automatic(ServedModel.objects.all(), ["slots"])
    assert chosen(ServedModel.objects.get()) == ["context"]


def test_a_model_that_a_person_deleted_stays_deleted(models: Path, tracked: ModelFolder) -> None:
    reciter(models / "a.gguf")
    scan([tracked])
    ServedModel.objects.all().delete()

    os.utime(models / "a.gguf", ns=(5, 5))
    scan([tracked])

    assert ids() == {}
    assert files() == {"a.gguf": State.OK}


def test_ids_do_not_depend_on_the_order_in_which_files_are_found(tmp_path: Path) -> None:
    names = [
        "x/fox-1b-q8_0.gguf",
        "x/fox-1b-q4_k_m.gguf",
        "y/fox-1b-q4_k_m.gguf",
        "y/owl.gguf",
        "fox-1b-f16.gguf",
    ]
    source = reciter(tmp_path / "source.gguf")
    outcomes = []
    for attempt in range(3):
        root = tmp_path / f"models{attempt}"
        for name in random.sample(names, len(names)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
        folder = folders.add(root)
        scan([folder])
        outcomes.append(ids())
        folders.remove(folder)
        assert ids() == {}

    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0]["fox-1b"] == "x/fox-1b-q4_k_m.gguf"
    assert sorted(outcomes[0]) == [
        "fox-1b",
        "fox-1b-f16",
        "fox-1b-q4-k-m-y",
        "fox-1b-q8-0",
        "owl",
    ]


def test_a_second_quantization_never_renames_the_first(models: Path, tracked: ModelFolder) -> None:
    reciter(models / "fox-q8_0.gguf")
    scan([tracked])
    reciter(models / "fox-q4_k_m.gguf")
    scan([tracked])

    assert ids() == {"fox": "fox-q8_0.gguf", "fox-q4-k-m": "fox-q4_k_m.gguf"}


def test_a_hand_made_id_is_never_given_away(models: Path, tracked: ModelFolder) -> None:
    other = ServedModel.objects.create(model_id="fox", cmd="serve ${PORT}")
    ModelAlias.objects.create(alias="owl", model=other)
    reciter(models / "fox-q8_0.gguf")
    reciter(models / "owl.gguf")
    scan([tracked])

    found = ids()
    assert (found.pop("fox"), found.pop("fox-q8-0")) == ("", "fox-q8_0.gguf")
    ((owl, path),) = found.items()
    assert owl.startswith("owl-") and path == "owl.gguf"


def test_a_moved_file_keeps_its_model(tmp_path: Path, models: Path, tracked: ModelFolder) -> None:
    reciter(models / "a" / "fox-q4_0.gguf")
    scan([tracked])
    ServedModel.objects.update(context=2048)
    (models / "b").mkdir()
    (models / "a" / "fox-q4_0.gguf").rename(models / "b" / "renamed.gguf")

    scan([tracked])

    assert files() == {"b/renamed.gguf": State.OK}
    assert ids() == {"fox": "b/renamed.gguf"}
    assert ServedModel.objects.get().context == 2048


@pytest.mark.parametrize("new_first", [True, False])
def test_a_file_moved_to_another_tracked_folder_keeps_its_model(
    tmp_path: Path, models: Path, tracked: ModelFolder, new_first: bool
) -> None:
    path = reciter(models / "fox-q4_0.gguf")
    scan([tracked])
    (tmp_path / "disk").mkdir()
    other = folders.add(tmp_path / "disk")
    # A move to another disk is a copy that keeps name, size and time.
    shutil.copy2(path, tmp_path / "disk" / "fox-q4_0.gguf")
    path.unlink()

    for folder in [other, tracked] if new_first else [tracked, other]:
        scan([folder])

    row = GgufFile.objects.get()
    assert (row.folder, row.state) == (other, State.OK)
    assert ids() == {"fox": "fox-q4_0.gguf"}


def test_a_copy_is_a_model_of_its_own(models: Path, tracked: ModelFolder) -> None:
    path = reciter(models / "fox-q4_0.gguf")
    scan([tracked])
    (models / "copy").mkdir()
    shutil.copy2(path, models / "copy" / "fox-q4_0.gguf")
    scan([tracked])

    assert ids() == {"fox": "fox-q4_0.gguf", "fox-q4-0-copy": "copy/fox-q4_0.gguf"}


def test_one_of_two_copies_that_moved_takes_the_row_along(
    models: Path, tracked: ModelFolder
) -> None:
    path = reciter(models / "fox.gguf")
    scan([tracked])
    for name in ("one.gguf", "two.gguf"):
        shutil.copy2(path, models / name)
    path.unlink()
    scan([tracked])

    assert files() == {"one.gguf": State.OK, "two.gguf": State.OK}
    assert ids() == {"fox": "one.gguf", "two": "two.gguf"}


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


def test_a_removed_folder_takes_its_untouched_models_along(
    models: Path, tracked: ModelFolder
) -> None:
    for name in ("plain.gguf", "tuned.gguf", "renamed.gguf", "aliased.gguf"):
        reciter(models / name)
    scan([tracked])
    ServedModel.objects.filter(model_id="tuned").update(context=512)
    ServedModel.objects.filter(model_id="renamed").update(name="Mine")
    ModelAlias.objects.create(alias="x", model=ServedModel.objects.get(model_id="aliased"))

    folders.remove(tracked)
    assert ids() == {"aliased": "", "renamed": "", "tuned": ""}

    scan([folders.add(models)])
    assert ids() == {
        "aliased": "aliased.gguf",
        "plain": "plain.gguf",
        "renamed": "renamed.gguf",
        "tuned": "tuned.gguf",
    }
    assert ServedModel.objects.get(model_id="tuned").context == 512


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


def test_a_thousand_rows_take_few_queries(
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
