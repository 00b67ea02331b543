"""`manage.py migrate` on a PostgreSQL at work: it gives way, and counts changes afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from models_app import changes
from models_app.models import ModelGroup
from proxy_app.management.commands import serve
from tests.lan import DATABASE_URL
from tests.server import ROOT, clean_environment
from tests.services import NAME, PostgreSql, postgresql_with_database

TABLE = "models_app_modelgroup"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSql]:
    with postgresql_with_database() as service:
        yield service


def migrating(database: PostgreSql, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"],
        cwd=ROOT,
        env=clean_environment(home, {DATABASE_URL: database.url}),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_gives_way_to_whoever_uses_a_table_and_ends_once_they_do(
    database: PostgreSql, tmp_path: Path
) -> None:
    _ends_well(migrating(database, tmp_path))
    counting = f"SELECT count(*) FROM pg_trigger WHERE tgrelid = '{TABLE}'::regclass"
    with database.connect(NAME) as reader, database.connect(NAME) as others:
        before = others.execute(counting.encode()).fetchone()
        reader.execute(b"BEGIN")
        reader.execute(f"SELECT count(*) FROM {TABLE}".encode())  # as a long backup does
        migration = migrating(database, tmp_path)
        assert migration.stderr is not None
        said = migration.stderr.readline()
        assert "trying again" in said
        # Comes through although the migration still waits for the reader.
        others.execute(f"SELECT count(*) FROM {TABLE}".encode())
        assert migration.poll() is None
        reader.execute(b"COMMIT")
        _ends_well(migration)
        assert others.execute(counting.encode()).fetchone() == before


def _ends_well(migration: subprocess.Popen[str]) -> None:
    _, said = migration.communicate(timeout=240)
    assert migration.returncode == 0, said


@pytest.mark.django_db(transaction=True)
def test_changes_are_counted_after_a_migration_that_failed() -> None:
    """The triggers stayed away, and no server saw a change until somebody migrated again."""
    changes.before_migrate(connection.alias)
    changes.after_failure(connection)
    before = changes.current_version()
    ModelGroup.objects.create(name="big")
    assert changes.current_version() > before


@pytest.mark.django_db(transaction=True)
def test_asking_whether_something_is_to_be_migrated_changes_nothing() -> None:
    newest = MigrationRecorder.Migration.objects.filter(app="proxy_app").latest("name")
    newest.delete()
    before = changes.current_version()
    try:
        with pytest.raises(SystemExit):
            call_command("migrate", check_unapplied=True, verbosity=0)
        assert changes.current_version() == before
    finally:
        newest.save(force_insert=True)


@pytest.mark.django_db(transaction=True)
def test_a_start_finds_what_a_migration_that_was_killed_left_undone() -> None:
    """All was migrated, so nothing was done, and no server saw a change ever after."""
    changes.before_migrate(connection.alias)
    assert not changes.are_counted(connection)
    serve._migrate()
    assert changes.are_counted(connection)
    before = changes.current_version()
    serve._migrate()
    assert changes.current_version() == before
