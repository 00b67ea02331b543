"""Counts every change of the configuration, and of who gets in, however it is made.

`QuerySet.update`, bulk deletes and SQL by hand fire no signal of Django's, so triggers do the
counting. They are taken away before each migration, as neither database lets a column go that a
trigger names, and put back after it, because SQLite drops them with every table it rebuilds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from django.apps import apps as current_apps
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model

logger = logging.getLogger(__name__)

NOT_CONFIGURATION: Final[dict[str, frozenset[str]]] = {
    "ApiKey": frozenset({"created_at", "last_used_at", "prefix"}),
    "EngineBuild": frozenset({"probed_at"}),
    "GgufFile": frozenset(
        {"first_seen_at", "introduced", "last_seen_at", "mtime_ns", "problem", "relative_path"}
    ),
    "MachineReport": frozenset({"read_at"}),
    "ModelAlias": frozenset(),
    "ModelFolder": frozenset({"added_at", "last_scanned_at", "problem"}),
    "ModelGroup": frozenset(),
    "PersonLimits": frozenset(),
    "ServedModel": frozenset({"created_at", "last_used_at"}),
    "VirtualModel": frozenset(),
    "ServerSettings": frozenset(),
}
"""The tables that are watched, each with the columns that may change without effect."""

_OF_ACCOUNTS: Final = frozenset({"date_joined", "email", "first_name", "last_login", "last_name"})
"""Columns of Django's accounts that say nothing of who gets in."""

_CLOCK: Final = "models_app_changeclock"
_FUNCTION: Final = "models_app_count_change"
_EVENTS: Final = ("insert", "update", "delete")

_COUNT: Final = (
    f"INSERT INTO {_CLOCK} (id, version) "
    f"SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM {_CLOCK} WHERE id = 1)",
    f"UPDATE {_CLOCK} SET version = version + 1 WHERE id = 1",
)

# Once a transaction, at its end: whoever changes the configuration locks the clock's row last
# and for a moment only. Locked with the first change, two writers could wait for each other.
_POSTGRESQL_FUNCTION: Final = f"""
    CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO {_CLOCK} AS clock (id, version) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET version = clock.version + 1
            WHERE clock.xmin <> pg_current_xact_id()::xid;
        RETURN NULL;
    END $$
"""


def current_version() -> int:
    """How many changes were counted; a change counts when its transaction is committed.

    Read it before the configuration it stands for. The other way round, what changes in between
    is missed.
    """
    # Asked several times a second, and a query set takes ten times as long.
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT version FROM {_CLOCK} WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0


def are_counted(connection: BaseDatabaseWrapper) -> bool:
    """Whether the triggers are there: a migration that was killed may have left none."""
    tables = [f"models_app_{name.lower()}" for name in NOT_CONFIGURATION]
    names = [name for table in (*tables, User._meta.db_table) for name in _trigger_names(table)]
    place = "pg_trigger" if connection.vendor == "postgresql" else "sqlite_master"
    column = "tgname" if connection.vendor == "postgresql" else "name"
    places = ", ".join(["%s"] * len(names))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {place} WHERE {column} IN ({places})", names)
        (found,) = cursor.fetchone() or (0,)
    return int(found) >= len(names)


def before_migrate(using: str, **kwargs: Any) -> None:
    """Take the triggers away so that migrations may change any column: all of them or none."""
    connection = connections[using]
    with transaction.atomic(using), connection.cursor() as cursor:
        tables = [f"models_app_{name.lower()}" for name in NOT_CONFIGURATION]
        for table in (*tables, User._meta.db_table):
            for trigger in _trigger_names(table):
                cursor.execute(_drop(connection, trigger, table))


def after_migrate(using: str, apps: Any = current_apps, **kwargs: Any) -> None:
    """Put the triggers back, and count a change: the migration may have made some.

    `apps` are the models as the migration left them, which after a step back are older ones.
    """
    connection = connections[using]
    models = [
        apps.get_model("models_app", name)
        for name in NOT_CONFIGURATION
        if name.lower() in apps.all_models["models_app"]
    ]
    if "auth" in apps.all_models and "user" in apps.all_models["auth"]:
        models.append(apps.get_model("auth", "User"))
    if "changeclock" not in apps.all_models["models_app"]:
        return  # migrated back to before there was a registry
    with transaction.atomic(using), connection.cursor() as cursor:
        for statement in _statements(connection, models):
            cursor.execute(statement)


def after_failure(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers back after a migration that failed, for the tables as they are now."""
    try:
        executor = MigrationExecutor(connection)
        executed = executor.loader.applied_migrations
        nodes = [node for node in executor.loader.graph.nodes if node in executed]
        after_migrate(connection.alias, executor.loader.project_state(nodes).apps)
    except DatabaseError as error:
        logger.error(
            "Changes of the configuration are not counted until `manage.py migrate` succeeds (%s).",
            error,
        )


def _statements(connection: BaseDatabaseWrapper, models: Iterable[type[Model]]) -> list[str]:
    if connection.vendor not in ("sqlite", "postgresql"):
        raise ImproperlyConfigured(
            f"Changes cannot be counted in {connection.vendor}. Use SQLite or PostgreSQL."
        )
    statements = [_POSTGRESQL_FUNCTION] if connection.vendor == "postgresql" else []
    create = _postgresql if connection.vendor == "postgresql" else _sqlite
    for model in models:
        table = model._meta.db_table
        without_effect = NOT_CONFIGURATION.get(model._meta.object_name or "", _OF_ACCOUNTS)
        columns = [
            field.column
            for field in model._meta.concrete_fields
            if field.column and field.name not in without_effect
        ]
        for trigger, event in zip(_trigger_names(table), _EVENTS, strict=True):
            statements.append(_drop(connection, trigger, table))
            statements.append(create(trigger, table, event, columns))
    return [*statements, *_COUNT]


def _trigger_names(table: str) -> list[str]:
    return [f"{table}_count_{event}" for event in _EVENTS]


def _drop(connection: BaseDatabaseWrapper, trigger: str, table: str) -> str:
    where = f" ON {table}" if connection.vendor == "postgresql" else ""
    return f"DROP TRIGGER IF EXISTS {trigger}{where}"


def _sqlite(trigger: str, table: str, event: str, columns: Iterable[str]) -> str:
    when = _columns_differ(columns, "IS NOT") if event == "update" else ""
    return (
        f"CREATE TRIGGER {trigger} AFTER {event} ON {table} {when} BEGIN {'; '.join(_COUNT)}; END"
    )


def _postgresql(trigger: str, table: str, event: str, columns: Iterable[str]) -> str:
    when = _columns_differ(columns, "IS DISTINCT FROM") if event == "update" else ""
    return (
        f"CREATE CONSTRAINT TRIGGER {trigger} AFTER {event} ON {table} "
        f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {when} EXECUTE FUNCTION {_FUNCTION}()"
    )


def _columns_differ(columns: Iterable[str], operator: str) -> str:
    differ = " OR ".join(f'OLD."{column}" {operator} NEW."{column}"' for column in columns)
    return f"WHEN ({differ})"
