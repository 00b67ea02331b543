"""What `manage.py check` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, connection
from pytest_django.fixtures import Settings

from claracore_site import checks as environment
from models_app import checks, engine_build
from models_app.models import ModelFolder


def test_a_slip_in_a_variables_name_is_told_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLARACORE_LAMA_SERVER", "/x")
    (found,) = run_checks(tags=["environment"])
    assert found.id == "claracore.W001"
    assert found.msg == "CLARACORE_LAMA_SERVER is set, but there is no such setting."
    assert found.hint == "Did you mean CLARACORE_LLAMA_SERVER?"
    assert not found.is_serious()


def test_a_name_like_no_other_is_told_with_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARACORE_XYZZY", "1")
    (found,) = environment.unknown_variables()
    assert found.hint is not None
    assert "CLARACORE_HOME" in found.hint


def test_an_engine_that_is_there_needs_no_words(tmp_path: Path, settings: Settings) -> None:
    binary = tmp_path / "llama-server"
    binary.touch(mode=0o755)
    settings.CLARACORE_LLAMA_SERVER = str(binary)
    assert run_checks(tags=["engine"]) == []


def test_an_engine_that_is_named_but_not_there_is_told(settings: Settings) -> None:
    settings.CLARACORE_LLAMA_SERVER = "/no/such/llama-server"
    (found,) = checks.engine()
    assert (found.id, found.is_serious()) == ("models_app.W002", False)
    assert "/no/such/llama-server" in found.msg


def test_no_engine_at_all_is_told_with_ways_to_get_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CLARACORE_LLAMA_SERVER = ""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (found,) = checks.engine()
    assert (found.id, found.is_serious()) == ("models_app.W001", False)
    assert found.msg.startswith("No llama-server was found")
    assert found.hint == engine_build.ENGINE_SOURCES


@pytest.mark.django_db
def test_a_folder_in_use_that_is_gone_is_told(tmp_path: Path) -> None:
    ModelFolder.objects.create(path=str(tmp_path))
    ModelFolder.objects.create(path=str(tmp_path / "off"), enabled=False)
    gone = ModelFolder.objects.create(path=str(tmp_path / "gone"))
    found = [each for each in run_checks(databases=["default"]) if each.obj == gone]
    assert [each.id for each in found] == ["models_app.W003"]
    assert len(checks.folders(databases=["default"])) == 1


def test_without_a_database_to_check_no_folder_is_read() -> None:
    assert checks.folders() == []
    assert checks.folders(databases=["other"]) == []


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_no_fault_of_the_folders() -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("no such table: models_app_modelfolder")

    with connection.execute_wrapper(fail):
        assert checks.folders(databases=["default"]) == []
