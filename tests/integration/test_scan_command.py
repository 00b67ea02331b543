from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from models_app import folders
from models_app.models import ModelFolder, ScanRun, ServedModel
from tests.ggufs import write_reciter

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    """Takes output as a terminal does."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox.gguf", "Hello there.")
    (folder / "page.gguf").write_text("<html>")
    return folder


def scan(*paths: Path | str, out: io.StringIO | None = None) -> tuple[str, str]:
    """What the command prints, and what it complains about."""
    out, err = out or io.StringIO(), io.StringIO()
    call_command("scan", *map(str, paths), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_tracks_and_scans_the_folder_it_is_given(models: Path) -> None:
    said, complaints = scan(models)

    assert said == f"{models}: 1 models in 2 files, 2 read, 1 unreadable\n"
    assert complaints == ""
    assert ModelFolder.objects.get().path == str(models)
    assert ServedModel.objects.get().model_id == "fox"
    assert ScanRun.objects.get().status == ScanRun.Status.COMPLETED


def test_without_folders_it_scans_all_that_are_enabled(models: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    folders.add(models)
    folders.add(tmp_path / "other")
    ModelFolder.objects.filter(path__endswith="other").update(enabled=False)

    said, _ = scan()

    assert said == f"{models}: 1 models in 2 files, 2 read, 1 unreadable\n"


def test_with_nothing_tracked_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="No folder is tracked"):
        scan()


def test_a_relative_path_is_relative_to_the_person(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent)

    scan("models")

    assert ModelFolder.objects.get().path == str(models)


def test_a_folder_that_is_covered_already_is_scanned_with_the_outer_one(models: Path) -> None:
    (models / "sub").mkdir()
    folders.add(models)

    said, complaints = scan(models / "sub")

    assert said.startswith(f"{models}: 1 models")
    assert complaints.startswith(f"{models}/sub lies in {models}")


def test_a_folder_that_is_not_there_is_an_error(models: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="gone does not exist"):
        scan(tmp_path / "gone")

    folders.add(models)
    models.rename(tmp_path / "moved")
    with pytest.raises(CommandError, match="Not every folder could be read"):
        scan()


def test_a_terminal_sees_a_line_of_progress_that_is_cleared(models: Path) -> None:
    said, _ = scan(models, out=Terminal())

    lines = [line.rstrip() for line in said.split("\r") if line.strip()]
    assert lines[0].startswith("Looking through folders")
    assert lines[1] == "Reading files 0 of 2  fox.gguf"
    assert lines[-1].startswith(f"{models}: 1 models")
