"""Keys and accounts on the console."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from models_app import people
from models_app.models import ApiKey, AuditEntry, PersonLimits
from models_app.rights import Role
from proxy_app.key_rows import read_ring

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse 9\n"))


def test_a_key_is_made_listed_and_revoked() -> None:
    people.create("ann", "correct horse 9", Role.USER)
    key = run("key", "create", "laptop", "--person", "ann", "--tokens-per-day", "5").strip()
    (found,) = read_ring().keys.values()
    assert (found.caller.name, found.caller.rights.name) == ("laptop", "laptop")
    assert found.caller.limits is not None and found.caller.limits.tokens_per_day == 5
    listed = run("key", "list")
    assert "ann" in listed and key[:8] in listed and key not in listed
    assert "Revoked" in run("key", "revoke", key[:8])
    assert not read_ring().keys
    with pytest.raises(CommandError, match="No valid key"):
        run("key", "revoke", key[:8])
    assert AuditEntry.objects.filter(kind="keys").count() == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "x", "--person", "nobody"), "nobody called nobody"),
        (("create", "x", "--person", "ann", "--scope", "admin"), "cannot grant admin"),
        (("create", "x", "--tokens-per-day", "0"), "above 0"),
    ],
)
def test_a_key_that_cannot_be_is_refused(arguments: tuple[str, ...], words: str) -> None:
    people.create("ann", "correct horse 9", Role.USER)
    with pytest.raises(CommandError, match=words):
        run("key", *arguments)
    assert not ApiKey.objects.exists()


def test_somebody_is_made_changed_locked_and_removed(typed: Any) -> None:
    run("person", "create", "ann", "--role", "administrator")
    ann = User.objects.get()
    assert ann.check_password("correct horse 9") and people.administrator_exists()
    with pytest.raises(CommandError, match="only administrator"):
        run("person", "lock", "ann")
    people.create("ben", "correct horse 9", Role.USER)
    run("person", "role", "ben", "curator")
    run("person", "lock", "ben")
    assert "curator" in run("person", "list") and "locked" in run("person", "list")
    run("person", "remove", "ben")
    assert [one.username for one in people.listed()] == ["ann"]


def test_a_weak_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("12345678\n"))
    with pytest.raises(CommandError, match="common"):
        run("person", "create", "ann")


def test_a_person_is_limited_and_no_longer() -> None:
    ann = people.create("ann", "correct horse 9", Role.USER)
    run("key", "create", "laptop", "--person", "ann")
    run("person", "limit", "ann", "--tokens-per-day", "5", "--model", "fox")
    (found,) = read_ring().keys.values()
    own = found.caller.own
    assert own is not None and own.limits.tokens_per_day == 5 and found.caller.limits is None
    assert found.caller.rights.may_use("fox") and not found.caller.rights.may_use("sea")
    noted = AuditEntry.objects.filter(kind="people").latest("pk")
    assert noted.after == {"ann": {"limits": {"allowed_models": ["fox"], "tokens_per_day": 5}}}
    run("person", "limit", "ann")
    (found,) = read_ring().keys.values()
    assert found.caller.own is None and not found.caller.rights.is_limited
    assert not PersonLimits.objects.filter(person=ann).exists()
