"""The one thread in which the serving process uses the database, with a connection kept open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from proxy_app.standing import Standing

T = TypeVar("T")

KEPT_SECONDS: Final = 60.0
"""So long a connection is used. Opening one costs more than what is asked here several times a
second; keeping it for ever would hold on to a file that somebody replaced meanwhile."""

RETRY_SECONDS: Final = 0.5
"""Between two attempts of work that waits for a lost database."""


class DatabaseLost(OperationalError):
    """Nobody answers where the database should be. It was told already."""


class DatabaseThread:
    """Runs what uses the database, one after the other, away from the event loop."""

    def __init__(self, standing: Standing) -> None:
        """`standing` is kept true: the database is asked several times a second anyway."""
        self._standing = standing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._opened_at = 0.0
        self._read: dict[Callable[[], Any], Any] = {}
        self._read_after: tuple[Any, int, int] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, or raises. Raises DatabaseLost when there is no database."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        except DatabaseLost as error:
            self._standing.lost(error)
            raise
        self._standing.reached()
        return found

    async def run_patiently(self, work: Callable[[], T]) -> T:
        """The same, once there is a database again: `work` may begin more than once."""
        while True:
            try:
                return await self.run(work)
            except DatabaseLost:
                await asyncio.sleep(RETRY_SECONDS)

    async def reread(self, work: Callable[[], T]) -> T:
        """What `work` reads, patiently; anew only if something was written since the last time.

        Asking again and again, mostly to learn that nothing is new, costs next to nothing by this.
        `work` depends on the database alone, and is the same function or method each time; nobody
        changes what it gives. PostgreSQL does not tell whether something was written; there it is
        read each time.
        """
        return await self.run_patiently(partial(self._reread, work))

    def close(self) -> None:
        """End the thread once it has nothing left to do; its connection closes with it."""
        # Looked up there: each thread has a connection of its own.
        self._thread.submit(lambda: connection.close())
        self._thread.shutdown()

    def _do(self, work: Callable[[], T]) -> T:
        self._renew()
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            _check_reachable(error)
            raise
        finally:
            # After an error Django does not trust a connection; asking it costs a query.
            if connection.errors_occurred:
                connection.close()

    def _reread(self, work: Callable[[], T]) -> T:
        if connection.vendor != "sqlite":
            return work()
        # Asked for before the reading: what is written in between is then read the next time.
        if (written := self._writes()) != self._read_after:
            self._read.clear()
            self._read_after = written
        if work not in self._read:
            self._read[work] = work()
        found: T = self._read[work]
        return found

    def _writes(self) -> tuple[Any, int, int]:
        """Another value after each write, by whomever (sqlite.org/pragma.html#pragma_data_version).

        The connection is part of it: the numbers count from its beginning.
        """
        connection.ensure_connection()
        database = connection.connection
        with connection.wrap_database_errors:
            (by_others,) = database.execute("PRAGMA data_version").fetchone()
        return database, by_others, database.total_changes

    def _renew(self) -> None:
        now = time.monotonic()
        if connection.connection is None or now - self._opened_at > KEPT_SECONDS:
            connection.close()
            self._opened_at = now


def _check_reachable(seen: Exception) -> None:
    """Raises DatabaseLost unless a new connection can be had: then it was something else."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise DatabaseLost(str(error)) from seen
