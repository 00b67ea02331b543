"""The one thread in which the serving process uses the database, with a connection kept open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from django.db import connection

T = TypeVar("T")

KEPT_SECONDS: Final = 60.0
"""So long a connection is used. Opening one costs more than what is asked here several times a
second; keeping it for ever would hold on to a file that somebody replaced meanwhile."""


class DatabaseThread:
    """Runs what uses the database, one after the other, away from the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._opened_at = 0.0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def close(self) -> None:
        """End the thread once it has nothing left to do; its connection closes with it."""
        self._thread.submit(connection.close)
        self._thread.shutdown()

    def _do(self, work: Callable[[], T]) -> T:
        self._renew()
        try:
            return work()
        finally:
            # After an error Django does not trust a connection; asking it costs a query.
            if connection.errors_occurred:
                connection.close()

    def _renew(self) -> None:
        now = time.monotonic()
        if connection.connection is None or now - self._opened_at > KEPT_SECONDS:
            connection.close()
            self._opened_at = now
