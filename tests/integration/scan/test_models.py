from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from models_app import folders
from models_app.choices import back_to_automatic, chosen
from models_app.models import GgufFile, ModelAlias, ModelFolder, ModelGroup, ServedModel
from models_app.scan import scan
from tests.ggufs import write_embedder
from tests.integration.scan.rows import file, files, ids, reciter

pytestmark = pytest.mark.django_db

State = GgufFile.State


def test_it_makes_a_model_of_each_file_that_can_be_served(
    models: Path, tracked: ModelFolder
) -> None:
    reciter(models / "Fox-1B-Instruct-Q4_K_M.gguf")
    (models / "sub").mkdir()
    write_embedder(models / "sub" / "letters.gguf")

    scan([tracked])

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


def test_a_moved_file_keeps_its_model(models: Path, tracked: ModelFolder) -> None:
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
