"""Bringing a backup back, on SQLite or PostgreSQL, whichever it was taken from.

The tables are made as they were when the backup was taken, filled, and only then brought to
today's form: so a backup of an older version passes the same migrations its database would have.
A newer version's cannot be restored, and is refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model
from django.utils import timezone

from claracore_site.backup import secret_part, tables, taking
from claracore_site.backup.archive import BackupError, Manifest, Reader, Table
from models_app.models import ModelFolder

PEOPLES: Final = (
    "auth.User",
    "downloads_app.Download",
    "models_app.ApiKey",
    "models_app.ModelFolder",
    "models_app.ServedModel",
    "models_app.VirtualModel",
)
"""The tables that make a database one that somebody would miss."""

LOCK_SECONDS: Final = 10
BATCH: Final = 500

Tell = Callable[[str], None]
Target = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `before` is the backup of what was there before, if anything was.

    `keys_work`: API keys made before still let clients in.
    """

    manifest: Manifest
    rows: int
    with_secrets: bool
    keys_work: bool
    before: Path | None
    missing_folders: tuple[str, ...]


def restore(file: Path, tell: Tell, *, replace: bool = False) -> Restored:
    """Make the database what it was when the backup was taken. The server must not run.

    Raises BackupError, and then nothing is changed.
    """
    with Reader(file) as reader:
        manifest = reader.manifest
        targets = _targets(manifest)
        tell("Checking the backup …")
        reader.check()
        place = secret_part.beside(file)
        part = secret_part.read(place, manifest.made_at) if place.exists() else None
        stamp = timezone.now().strftime("%Y%m%d-%H%M%S")
        before = _kept(stamp, replace, tell)
        if part:
            secret_part.use_key(part)
        with _emptied():
            _fill(reader, targets, part.values if part else {}, tell)
            if part:
                _bring_secrets(part)
        if part:
            secret_part.bring_files(part, stamp)
    return Restored(
        manifest=manifest,
        rows=sum(table.rows for table in manifest.tables),
        with_secrets=part is not None,
        keys_work=part is not None and part.secret_key == settings.SECRET_KEY,
        before=before,
        missing_folders=tuple(
            path
            for path in ModelFolder.objects.values_list("path", flat=True)
            if not os.path.isdir(path)
        ),
    )


# ---- Before ------------------------------------------------------------------------------------


def _targets(manifest: Manifest) -> list[Target]:
    """The migrations to stop at. Raises BackupError when this version lacks one."""
    known = MigrationExecutor(connection).loader
    apps_here = {app for app, _ in known.disk_migrations}
    targets = [(app, name) for app, name in manifest.migrations.items() if app in apps_here]
    for app, name in targets:
        if (app, name) not in known.disk_migrations:
            raise BackupError(
                f"The backup was made by ClaraCore {manifest.version}, which is newer than this "
                f"one: it knows {app}.{name}. Restore it with that version."
            )
    return targets


def _kept(stamp: str, replace: bool, tell: Tell) -> Path | None:
    """A backup of what is there, where somebody would miss it."""
    if not _has_something():
        return None
    if not replace:
        raise BackupError(
            "This database is in use: it has people, folders or models. Add --replace to put the "
            "backup in their place; what is there now is backed up first."
        )
    _check_alone()
    folder = Path(settings.CLARACORE_HOME) / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"before-restore-{stamp}.zip"
    tell(f"Backing up what is there now to {file} …")
    call_command("migrate", verbosity=0)
    taking.take(file, tell)
    return file


def _has_something() -> bool:
    present = set(connection.introspection.table_names())
    models = [apps.get_model(label) for label in PEOPLES]
    return any(model._base_manager.exists() for model in models if model._meta.db_table in present)


def _check_alone() -> None:
    """Raises BackupError while another program is connected to the same PostgreSQL database."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        others = cursor.fetchone()[0]
    if others:
        raise BackupError(
            f"{others} other connections to the database are open. Stop the server and the worker "
            "first."
        )


# ---- The database ------------------------------------------------------------------------------


@contextlib.contextmanager
def _emptied() -> Iterator[None]:
    """A database without tables; what was there comes back when the block fails."""
    if connection.vendor == "sqlite":
        with _file_aside():
            yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            for name in connection.introspection.table_names(cursor):
                if _is_ours(name):
                    cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)} CASCADE")
        yield


def _is_ours(table: str) -> bool:
    return table in set(connection.introspection.django_table_names()) | {"django_migrations"}


@contextlib.contextmanager
def _file_aside() -> Iterator[None]:
    file = Path(connection.settings_dict["NAME"])
    connection.close()
    parts = [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm")]
    aside = {part: part.with_name(f"{part.name}.restoring") for part in parts if part.exists()}
    for part, other in aside.items():
        os.replace(part, other)
    try:
        yield
    except BaseException:
        connection.close()
        for part in parts:
            part.unlink(missing_ok=True)
        for part, other in aside.items():
            os.replace(other, part)
        raise
    for other in aside.values():
        other.unlink()


def _fill(reader: Reader, targets: list[Target], secrets: dict[str, str], tell: Tell) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    then = MigrationExecutor(connection).loader.project_state(targets).apps
    models = {model._meta.label: model for model in tables.all_of(then)}
    loaded = [table for table in reader.manifest.tables if table.name in models]
    with transaction.atomic():
        for model in models.values():  # what migrations put there
            model._base_manager.all()._raw_delete(using="default")
        for table in loaded:
            _load(models[table.name], table, reader, secrets)
            if table.rows >= 10_000:
                tell(f"{table.rows} rows of {table.name}")
        connection.check_constraints()
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), list(models.values())):
                cursor.execute(statement)
    tell("Bringing the tables to today's form …")
    call_command("migrate", verbosity=0)


def _load(model: type[Model], table: Table, reader: Reader, secrets: dict[str, str]) -> None:
    fields = {field.attname: field for field in tables.columns(model)}
    if strange := set(table.columns) - fields.keys():
        raise BackupError(f"The backup's table {table.name} has unknown columns: {strange}.")
    read = [(name, tables.reading(fields[name])) for name in table.columns]
    show = secret_part.showing(table.name, table.columns, secrets)
    rows = (
        model(**{name: make(value) for (name, make), value in zip(read, show(row), strict=True)})
        for row in reader.rows(table)
    )
    keep_times = _AsTheyWere(model)
    try:
        with keep_times:
            while bunch := list(islice(rows, BATCH)):
                model._base_manager.bulk_create(bunch)
    except DatabaseError as error:
        raise BackupError(
            f"The table {table.name} cannot be filled: {str(error).strip()}. Nothing was changed."
        ) from error


class _AsTheyWere:
    """While it lasts, times that are set by themselves (`auto_now`) keep what they are given."""

    def __init__(self, model: type[Model]) -> None:
        self._fields: list[Any] = [
            field
            for field in tables.columns(model)
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
        ]
        self._were = [(field.auto_now, field.auto_now_add) for field in self._fields]

    def __enter__(self) -> None:
        for field in self._fields:
            field.auto_now = field.auto_now_add = False

    def __exit__(self, *_: object) -> None:
        for field, (now, add) in zip(self._fields, self._were, strict=True):
            field.auto_now, field.auto_now_add = now, add


def _bring_secrets(part: secret_part.SecretPart) -> None:
    kept = apps.get_model(tables.SECRETS)
    kept._base_manager.bulk_create(
        [kept(mark=mark, value=value) for mark, value in part.kept.items()], batch_size=BATCH
    )
