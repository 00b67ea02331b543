from __future__ import annotations

from pathlib import Path

import pytest

from models_app import folders
from models_app.folders import AlreadyCovered, FolderError
from models_app.models import ModelFolder

pytestmark = pytest.mark.django_db


def refusal(path: object) -> str:
    with pytest.raises(FolderError) as caught:
        folders.add(str(path))
    return str(caught.value)


def test_a_folder_is_tracked_under_its_normal_path(tmp_path: Path) -> None:
    folder = folders.add(f"{tmp_path}//sub/../")

    assert (folder.path, folder.recursive, folder.enabled) == (str(tmp_path), True, True)


def test_the_home_folder_may_be_written_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()

    assert folders.add("~/models").path == str(tmp_path / "models")


@pytest.mark.parametrize("path", ["models", "", ".", "../models"])
def test_a_path_that_depends_on_where_the_server_runs_is_refused(path: str) -> None:
    assert "is not an absolute path" in refusal(path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refusal(tmp_path / "gone") == f"{tmp_path}/gone does not exist."
    assert refusal(tmp_path / "file") == f"{tmp_path}/file is not a folder."
    assert "characters that cannot be used" in refusal(f"{tmp_path}/nul\0")
    assert "characters that cannot be used" in refusal(f"{tmp_path}/\udcff")
    assert "cannot be read: File name too long." in refusal(tmp_path / ("x" * 300))
    assert not ModelFolder.objects.exists()


def test_adding_a_tracked_folder_enables_it_and_keeps_the_rest(tmp_path: Path) -> None:
    first = folders.add(tmp_path, recursive=False)
    ModelFolder.objects.update(enabled=False)

    again = folders.add(tmp_path)
    assert (again.pk, again.enabled, again.recursive) == (first.pk, True, False)

    assert folders.add(tmp_path, recursive=True).recursive
    assert ModelFolder.objects.get().recursive


def test_a_folder_is_known_under_its_other_names(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "models")
    first = folders.add(tmp_path / "models")

    assert folders.add(tmp_path / "link") == first


def test_a_folder_below_a_tracked_one_says_which(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    outer = folders.add(tmp_path)

    with pytest.raises(AlreadyCovered) as caught:
        folders.add(tmp_path / "sub")

    assert caught.value.covering == outer
    assert str(caught.value) == (
        f"{tmp_path}/sub lies in {tmp_path}, which is tracked with the folders below it."
    )


@pytest.mark.parametrize("change", [{"recursive": False}, {"enabled": False}])
def test_a_folder_below_one_that_leaves_it_out_is_tracked(
    tmp_path: Path, change: dict[str, bool]
) -> None:
    (tmp_path / "sub").mkdir()
    folders.add(tmp_path)
    ModelFolder.objects.update(**change)

    assert folders.add(tmp_path / "sub").path == str(tmp_path / "sub")


def test_a_folder_with_a_name_that_begins_alike_is_another(tmp_path: Path) -> None:
    for name in ("models", "models2"):
        (tmp_path / name).mkdir()
        folders.add(tmp_path / name)

    assert ModelFolder.objects.count() == 2


def test_what_lies_in_a_hidden_folder_is_tracked_on_its_own(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "models").mkdir(parents=True)
    folders.add(tmp_path)

    assert folders.add(tmp_path / ".cache" / "models")


def test_a_folder_around_a_tracked_one_is_tracked_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    folders.add(tmp_path / "sub")

    assert folders.add(tmp_path).path == str(tmp_path)
