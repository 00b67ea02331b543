from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from models_app import catalog, revisions
from models_app.config_yaml import render
from models_app.models import AuditEntry, Revision, ServedModel, ServerSettings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> Path:
    settings.CLARACORE_HOME = tmp_path
    return tmp_path


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("config", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def newest() -> Revision:
    revision = revisions.newest()
    assert revision is not None
    return revision


def noted(act: str) -> AuditEntry:
    """What the audit log says of the first act of a kind on models."""
    acts = AuditEntry.objects.filter(what__startswith=f"manage.py config {act}: ", kind="models")
    return acts.earliest("pk")


def test_history_tells_what_changed_when_why_and_by_whom(home: Path) -> None:
    file = home / "new.yaml"
    file.write_text("models: {a: {cmd: 'x ${PORT}'}}\n")
    run("import", str(file))
    ServedModel.objects.update(ttl=5)
    revisions.keep()
    lines = run("history")[0].splitlines()
    assert lines[0].startswith(f"{newest().pk}  2") and lines[0].endswith("  change")
    assert lines[1] == "  model a: ttl none -> 5"
    assert "manage.py config import new.yaml, by " in lines[2]


def test_show_prints_a_revisions_difference_or_its_text() -> None:
    ServedModel.objects.create(model_id="a", cmd="x ${PORT}")
    revisions.keep()
    ServedModel.objects.update(ttl=5)
    revisions.keep()
    out, _ = run("show", str(newest().pk))
    assert "  model a: ttl none -> 5\n" in out
    assert "--- config.yaml before\n+++ config.yaml after" in out
    assert "+    ttl: 5" in out
    assert run("show", str(newest().pk), "--text")[0] == render(catalog.build())


def test_rollback_goes_back_and_says_what_it_did() -> None:
    ServedModel.objects.create(model_id="a", cmd="x ${PORT}")
    revisions.keep()
    first = newest()
    ServedModel.objects.update(ttl=5)
    out, _ = run("rollback", str(first.pk))
    assert out == f"Back to revision {first.pk}, as revision {first.pk + 2}:\n" + (
        "  model a: ttl 5 -> none\n"
    )
    assert newest().cause == f"back to revision {first.pk}"
    assert noted("rollback").before["a"]["ttl"] == 5
    assert "ttl" not in noted("rollback").after["a"]
    assert "already" in run("rollback", str(first.pk))[0]


def test_an_edit_that_waits_is_applied_or_dismissed() -> None:
    revisions.keep()
    text = "models: {b: {cmd: 'x ${PORT}'}}\nglobalTTL: 300\nhealthCheckTimeout: 300\n"
    edits = [
        Revision.objects.create(kind=Revision.Kind.WAITING, digest=str(n), yaml=text, base=newest())
        for n in range(2)
    ]
    assert "waits as revision" in run("history")[1]
    assert "1 created" in run("apply", str(edits[0].pk))[0]
    assert newest().cause == f"edit by hand applied (revision {edits[0].pk})"
    assert "b" in noted("apply").after
    assert "is dismissed" in run("dismiss", str(edits[1].pk))[0]
    assert noted("dismiss").who.endswith("on the console")
    assert run("history")[1] == ""
    with pytest.raises(CommandError, match="is no edit that waits"):
        run("apply", str(edits[1].pk))


def test_unknown_and_unusable_revisions_are_named() -> None:
    with pytest.raises(CommandError, match="There is no revision 99"):
        run("show", "99")
    broken = Revision.objects.create(digest="x", yaml="models: [")
    with pytest.raises(CommandError, match="cannot be used any more: line 2"):
        run("rollback", str(broken.pk))


def test_a_dry_run_of_an_import_shows_what_it_would_change_and_changes_nothing(home: Path) -> None:
    file = home / "new.yaml"
    file.write_text("startPort: 9000\nmodels: {a: {cmd: 'x ${PORT}'}}\n")
    out, _ = run("import", str(file), "--dry-run")
    assert out.startswith("models added: a\nsetting start_port 8100 -> 9000\n")
    assert "+startPort: 9000" in out
    assert not ServedModel.objects.exists()
    assert ServerSettings.current().start_port == 8100
