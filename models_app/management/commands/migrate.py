"""`manage.py migrate`, beside servers that work: Django's own, which waits for nobody for long.

A change of a table waits for every transaction that uses it, and whoever comes later waits behind
it. On PostgreSQL it gives way after half a second and tries again, and several servers that start
at once take turns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import Error, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from models_app import changes

LOCK_MS: Final = 500
"""Less than `deadlock_timeout`, a second, after which PostgreSQL ends one of two that wait for each
other: it must not be a server at work."""

ATTEMPTS: Final = 60
PAUSE_SECONDS: Final = 2.0
TURN: Final = 5_800_110
"""The advisory lock's number."""

_IN_THE_WAY: Final = {"55P03", "40P01"}
"""PostgreSQL's codes: a lock was not to be had in time; two waited for each other."""


class Command(migrate.Command):
    help = migrate.Command.help

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        only_looks = options["plan"] or options["check_unapplied"]
        if connection.in_atomic_block or only_looks:
            super().handle(*args, **options)
            return
        with self._turn(connection):
            try:
                self._migrate(*args, **options)
            except BaseException:
                # Else servers at work would see no change any more.
                changes.after_failure(connection)
                raise

    @contextmanager
    def _turn(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """On PostgreSQL one at a time, without waiting long for locks."""
        if connection.vendor != "postgresql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [TURN])
            if cursor.fetchone() != (True,):
                self.stderr.write("Another process migrates this database; waiting for its end.")
                cursor.execute("SELECT pg_advisory_lock(%s)", [TURN])
            cursor.execute(f"SET lock_timeout = {LOCK_MS}")
        try:
            yield
        finally:
            # A connection that was lost has let go of both, and must not hide why it was.
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [TURN])

    def _migrate(self, *args: Any, **options: Any) -> None:
        """Each migration is done as a whole or not at all, so it may be tried again."""
        for _ in range(ATTEMPTS):
            try:
                super().handle(*args, **options)
                return
            except OperationalError as error:
                if not _is_in_the_way(error):
                    raise
            self.stderr.write("Tables are in use; trying again.")
            time.sleep(PAUSE_SECONDS)
        raise CommandError(
            "The database's tables are in use all the time. Stop what works on them, such as a "
            "backup, and migrate again."
        )


def _is_in_the_way(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in _IN_THE_WAY
