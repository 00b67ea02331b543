from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from models_app import catalog, export
from models_app.config_yaml import parse, render
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import Revision, ServedModel

pytestmark = pytest.mark.django_db

ONE = ConfigDocument(models={"a": ModelEntry("a", cmd="run ${PORT}")})
TWO = ConfigDocument(models={"b": ModelEntry("b", cmd="run ${PORT}")})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> Path:
    settings.CLARACORE_HOME = tmp_path
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- Revisions and the file ------------------------------------------------------------------


def test_a_changed_configuration_makes_a_revision_and_the_file(home: Path) -> None:
    revision = export.publish(ONE)
    assert revision is not None
    assert revision.yaml == render(ONE) == (home / "config.yaml").read_text()
    assert stat.S_IMODE((home / "config.yaml").stat().st_mode) == 0o600
    second = export.publish(TWO)
    assert second is not None and second.digest != revision.digest
    assert (home / "config.yaml").read_text() == render(TWO)
    assert names(home) == ["config.yaml"]


def test_an_unchanged_configuration_makes_nothing(home: Path) -> None:
    export.publish(ONE)
    before = (home / "config.yaml").stat()
    assert export.publish(ONE) is None
    assert Revision.objects.count() == 1
    after = (home / "config.yaml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_going_back_is_a_revision_of_its_own() -> None:
    assert export.publish(ONE) and export.publish(TWO)
    again = export.publish(ONE)
    assert again is not None
    assert Revision.objects.count() == 3


def test_a_missing_file_comes_back_without_a_revision(home: Path) -> None:
    export.publish(ONE)
    (home / "config.yaml").unlink()
    assert export.publish(ONE) is None
    assert (home / "config.yaml").read_text() == render(ONE)


def test_a_file_that_nobody_looked_at_yet_is_never_written_over(home: Path) -> None:
    (home / "config.yaml").write_text("models: {mine: {}}\n")
    export.publish(ONE)
    assert (home / "config.yaml").read_text() == "models: {mine: {}}\n"
    assert names(home) == ["config.yaml"]


def test_an_edit_saved_in_the_last_moment_is_not_written_over(home: Path) -> None:
    path = home / "config.yaml"
    path.write_text("mine")
    assert export.write_atomically(path, b"ours", lambda: path.read_text() == "mine") is False
    assert path.read_text() == "mine"
    assert names(home) == ["config.yaml"]


def test_the_servers_own_older_file_is_not_kept(home: Path) -> None:
    export.publish(ONE)
    export.publish(TWO)
    export.publish(ONE)
    assert names(home) == ["config.yaml"]


# ---- Faults ----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_is_logged_and_tried_again(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "config.yaml").mkdir()
    revision = export.publish(ONE)
    assert revision is not None
    assert "config.yaml could not be written" in caplog.text
    (home / "config.yaml").rmdir()
    assert export.publish(ONE) is None
    assert (home / "config.yaml").read_text() == render(ONE)


def test_a_folder_that_is_gone_is_logged_and_tried_again(
    home: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CLARACORE_HOME = home / "later"
    assert export.publish(ONE) is not None
    assert "No such file or directory" in caplog.text
    (home / "later").mkdir()
    export.publish(ONE)
    assert (home / "later" / "config.yaml").read_text() == render(ONE)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes fail half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_breaks_off_leaves_the_old_file_whole(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export.publish(ONE)
    large = ConfigDocument(models={"a": ModelEntry("a", cmd="run ${PORT} " + "x" * 2_000_000)})
    with files_of_at_most(1_000_000):
        assert export.publish(large) is not None
    assert "File too large" in caplog.text
    assert (home / "config.yaml").read_text() == render(ONE)
    assert names(home) == ["config.yaml"]
    export.publish(large)
    assert (home / "config.yaml").read_text() == render(large)


# ---- The command -----------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("config", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_show_prints_the_configuration() -> None:
    ServedModel.objects.create(model_id="a", cmd="run ${PORT}")
    assert parse(run("show")[0]).document == catalog.build()


def test_export_writes_a_file_and_never_over_another(home: Path) -> None:
    file = home / "mine.yaml"
    run("export", str(file))
    assert parse(file.read_text()).document == catalog.build()
    with pytest.raises(CommandError, match=r"mine\.yaml exists"):
        run("export", str(file))
    ServedModel.objects.create(model_id="a", cmd="run ${PORT}")
    run("export", str(file), "--force")
    assert set(parse(file.read_text()).document.models) == {"a"}


def test_export_says_why_it_cannot_write(home: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        run("export", str(home / "none" / "mine.yaml"))


def test_import_tells_what_it_did(home: Path) -> None:
    ServedModel.objects.create(model_id="old", cmd="run ${PORT}")
    file = home / "new.yaml"
    file.write_text("startPort: 9000\nmodels: {a: {cmd: 'x ${PORT}', later: 1}}\ngroups: {g: {}}\n")
    out, err = run("import", str(file))
    assert out.splitlines() == [
        "created: a",
        "groups changed: g",
        "settings changed: start_port",
        "unchanged: 0 models",
    ]
    assert "line 2: `later` of model" in err
    out, _ = run("import", str(file), "--replace")
    assert "removed: old" in out
    assert set(catalog.build().models) == {"a"}


def test_import_refuses_what_is_not_valid_and_changes_nothing(home: Path) -> None:
    file = home / "bad.yaml"
    file.write_text("startPort: 9000\nmodels: {a: {ttl: soon}}\n")
    before = catalog.build()
    with pytest.raises(CommandError, match=r"bad\.yaml: line 2: `ttl` of model \"a\" must be"):
        run("import", str(file))
    assert catalog.build() == before


def test_import_refuses_an_alias_of_another_model(home: Path) -> None:
    first, second = home / "1.yaml", home / "2.yaml"
    first.write_text("models: {a: {cmd: 'x ${PORT}', aliases: [z]}}\n")
    second.write_text("models: {b: {cmd: 'x ${PORT}', aliases: [z]}}\n")
    run("import", str(first))
    with pytest.raises(CommandError, match=r"belongs to the model a.*Nothing was changed"):
        run("import", str(second))


def test_check_counts_what_is_in_a_file(home: Path) -> None:
    file = home / "c.yaml"
    file.write_text("models: {a: {cmd: 'x ${PORT}'}, b: {}}\nmacros: {m: 1}\n")
    out, err = run("check", str(file))
    assert "c.yaml is valid: 2 models, 0 groups, 1 macros." in out
    assert 'line 1: The model "b" cannot use its `cmd`' in err
    with pytest.raises(CommandError, match="cannot be read"):
        run("check", str(home / "none.yaml"))
