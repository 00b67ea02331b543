"""Secrets at rest, looked for where a thief would: in the database and in the files of the home."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from django.conf import settings as current
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from claracore_site import secret_key
from downloads_app.models import Download
from models_app import hf_token, secrecy
from models_app.models import KeptSecret
from models_app.sealed import seal, unseal
from proxy_app.home_lock import HomeLock

SECRET = "hf_thisIsMySecret"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> Path:
    settings.CLARACORE_HOME = tmp_path
    settings.SECRET_KEY = secret_key.read_or_make(tmp_path / "secret_key")
    settings.SECRET_KEY_FALLBACKS = []
    return tmp_path


def stored(table: str, column: str) -> list[str]:
    """What the database itself holds."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        return [row[0] for row in cursor.fetchall()]


def store_everywhere() -> None:
    hf_token.save(SECRET)
    Download.objects.create(folder="/models", token=SECRET)
    secrecy.keep({"SECRET-0123456789abcdef": SECRET})


def read_everywhere() -> set[str]:
    return {
        hf_token.read(),
        Download.objects.get().token,
        *KeptSecret.objects.values_list("value", flat=True),
    }


def test_no_token_lies_about_in_the_open(home: Path) -> None:
    """S7: the first implementation keeps its secrets as they are."""
    store_everywhere()
    kept = stored("downloads_app_download", "token") + stored("models_app_keptsecret", "value")
    assert len(kept) == 2
    for text in (*kept, *(file.read_text() for file in home.iterdir())):
        assert SECRET not in text
    assert read_everywhere() == {SECRET}


def test_the_same_secret_never_looks_the_same() -> None:
    assert seal(SECRET) != seal(SECRET)
    assert seal("") == ""


def test_what_was_stored_before_sealing_opens() -> None:
    assert unseal(SECRET) == SECRET
    hf_token.path().write_text(SECRET)
    assert hf_token.read() == SECRET


def test_another_key_opens_nothing_and_is_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store_everywhere()
    settings.SECRET_KEY = "another" * 10
    with caplog.at_level(logging.ERROR):
        assert read_everywhere() == {""}
    assert "Enter it again" in caplog.text
    assert SECRET not in caplog.text


def test_a_changed_text_does_not_open(caplog: pytest.LogCaptureFixture) -> None:
    sealed = seal(SECRET)
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with caplog.at_level(logging.ERROR):
        assert unseal(changed) == ""


def test_replacing_the_key_keeps_the_secrets(home: Path) -> None:
    store_everywhere()
    old, before = current.SECRET_KEY, stored("downloads_app_download", "token")
    call_command("replace_secret_key")
    assert old != current.SECRET_KEY
    current.SECRET_KEY_FALLBACKS = []
    assert read_everywhere() == {SECRET}
    assert stored("downloads_app_download", "token") != before
    assert not secret_key.former_of(home / "secret_key").exists()


def test_a_replacement_that_was_interrupted_is_ended(home: Path) -> None:
    store_everywhere()
    file = home / "secret_key"
    secret_key.replace(file)
    current.SECRET_KEY = secret_key.read_or_make(file)
    current.SECRET_KEY_FALLBACKS = secret_key.read_former(file)
    assert read_everywhere() == {SECRET}
    call_command("replace_secret_key")
    current.SECRET_KEY_FALLBACKS = []
    assert secret_key.read_or_make(file) == current.SECRET_KEY
    assert read_everywhere() == {SECRET}


def test_the_key_is_not_replaced_under_a_running_server(home: Path) -> None:
    with HomeLock(home), pytest.raises(CommandError, match="Stop it"):
        call_command("replace_secret_key")
