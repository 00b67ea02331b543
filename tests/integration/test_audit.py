"""The audit log has what is done on the console and by the first administrator, too."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from models_app import audit, people
from models_app.models import AuditEntry, ServedModel
from models_app.rights import Role
from proxy_app.first_administrator import INVITATION
from tests.ggufs import write_reciter

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse 9"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def last(kind: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    entry = AuditEntry.objects.filter(kind=kind).latest("pk")
    assert entry.who.endswith("on the console")
    return entry.what, entry.before, entry.after


def test_an_account_is_noted_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    people.create("root", PASSWORD, Role.ADMINISTRATOR)
    run("person", "create", "ben")
    made = {"ben": {"role": "user", "active": True}}
    assert last("people") == ("person create: ben", {}, made)
    run("person", "role", "ben", "curator")
    changed = ("person role: ben", {"ben": {"role": "user"}}, {"ben": {"role": "curator"}})
    assert last("people") == changed
    run("person", "lock", "ben")
    assert last("people")[1:] == ({"ben": {"active": True}}, {"ben": {"active": False}})
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    run("person", "password", "ben")
    assert last("people") == ("person password: ben", {}, {})
    run("person", "remove", "ben")
    assert last("people")[1:] == ({"ben": {"role": "curator", "active": False}}, {})
    assert PASSWORD not in str(AuditEntry.objects.values())


def test_a_key_is_noted_before_and_after_and_never_itself() -> None:
    key = run("key", "create", "laptop", "--tokens-per-day", "5").strip()
    what, before, after = last("keys")
    (made,) = after.values()
    assert (what, before) == ("key create: laptop", {})
    assert (made["name"], made["tokens_per_day"], made["scopes"]) == ("laptop", 5, ["inference"])
    run("key", "revoke", key[:8])
    _, before, after = last("keys")
    (was,), (now,) = before.values(), after.values()
    assert was == {"revoked_at": None} and now["revoked_at"]
    assert key not in str(AuditEntry.objects.values())


def test_an_imported_configuration_is_noted_before_and_after(tmp_path: Path) -> None:
    ServedModel.objects.create(model_id="own", cmd="serve ${PORT}")
    file = tmp_path / "config.yaml"
    file.write_text("models:\n  own:\n    cmd: other ${PORT}\n")
    run("config", "import", str(file))
    what, before, after = last("models")
    assert what == "manage.py config import config.yaml"
    assert (before["own"]["cmd"], after["own"]["cmd"]) == ("serve ${PORT}", "other ${PORT}")


def test_a_scan_is_noted_and_what_it_brought(tmp_path: Path) -> None:
    write_reciter(tmp_path / "fox.gguf", "Hello there.")
    run("scan", str(tmp_path))
    what, before, after = last("models")
    assert (what, before) == (f"manage.py scan {tmp_path}", {})
    assert set(after) == {"fox"}
    run("scan")
    assert last("scan") == ("manage.py scan", {}, {})


def test_what_failed_is_no_act() -> None:
    with pytest.raises(CommandError):
        run("person", "lock", "nobody")
    with pytest.raises(CommandError):
        run("key", "create", "x", "--person", "nobody")
    assert not AuditEntry.objects.exists()


def test_the_first_account_is_noted_by_whatever_way_it_came(client: Client) -> None:
    address = f"/ui/welcome/{INVITATION.make()}/"
    stranger = Client(SERVER_NAME="localhost", REMOTE_ADDR="192.168.1.7")
    form = {"name": "ann", "password": PASSWORD, "again": PASSWORD}
    assert stranger.post(address, form).status_code == 302
    entry = AuditEntry.objects.get(what="made the first account")
    assert (entry.who, entry.address, entry.before) == ("ann", "192.168.1.7", {})
    assert entry.after == {"ann": {"role": "administrator", "active": True}}


def test_no_secret_of_a_command_is_noted() -> None:
    """Whoever reads the log need not be who may read commands."""
    secret = "sk-of-the-engine"
    ServedModel.objects.create(model_id="own", cmd="serve --api-key sk-before ${PORT}")
    before = audit.state()
    ServedModel.objects.update(cmd=f"other --api-key {secret} ${{PORT}}")
    audit.note_changes(before, "by hand")
    entry = AuditEntry.objects.get()
    assert "other --api-key" in str(entry.after)
    assert "sk-" not in f"{entry.before} {entry.after}"
