"""Taking a backup, also while the server runs: everything is read as of one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from claracore_site.backup import secret_part, tables
from claracore_site.backup.archive import BackupError, Manifest, Writer
from claracore_site.version import VERSION
from models_app import catalog, revisions

ALIAS: Final = "backup"

Tell = Callable[[str], None]


def take(file: Path, tell: Tell, *, secrets: bool = True) -> Manifest:
    """Write a backup, and its secret part beside it. Raises BackupError.

    `tell` hears of each table with many rows.
    """
    made_at = timezone.now().isoformat()
    found: dict[str, str] = {}
    with _as_of_now() as using, Writer(file) as writer:
        for model in tables.all_of(apps):
            names = [field.attname for field in tables.columns(model)]
            hide = secret_part.hiding(model._meta.label, names, found)
            done = writer.table(
                model._meta.label, names, (hide(row) for row in tables.rows(model, using))
            )
            if done.rows >= 10_000:
                tell(f"{done.rows} rows of {done.name}")
        migrations = _migrations(using)
        if secrets:
            try:
                secret_part.write(file, made_at, found, using)
            except OSError as error:
                raise BackupError(
                    f"{secret_part.beside(file)} cannot be written: {error.strerror}."
                ) from error
        return writer.finish(
            made_at=made_at,
            version=VERSION,
            database=connections[using].vendor,
            migrations=migrations,
            config=revisions.masked_text(catalog.build(), {}),
        )


@contextlib.contextmanager
def _as_of_now() -> Iterator[str]:
    """A connection that sees the database as it is now, while others go on writing."""
    ours: dict[str, Any] = {**connections.databases["default"]}
    options = dict(ours.get("OPTIONS", {}))
    if connections["default"].vendor == "sqlite":
        options["transaction_mode"] = "DEFERRED"
    else:
        from psycopg import IsolationLevel

        options["isolation_level"] = IsolationLevel.REPEATABLE_READ
    connections.databases[ALIAS] = {**ours, "OPTIONS": options}
    try:
        with transaction.atomic(using=ALIAS):
            yield ALIAS
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.databases[ALIAS]


def _migrations(using: str) -> dict[str, str]:
    """The last migration of each app."""
    last: dict[str, str] = {}
    for app, name in sorted(MigrationRecorder(connections[using]).applied_migrations()):
        last[app] = name
    return last
