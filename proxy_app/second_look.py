"""A look at the configuration for requests that name nothing known, before they are told so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from proxy_app.database_thread import DatabaseLost

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.02
"""Between two looks, each of which is one small query."""


class SecondLook:
    """Many may ask at once, with names that never existed: who asks until a look begins shares it.

    Nobody shares one that has begun: it may have read before what they ask for was written.
    """

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        self._look = look
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked_at = 0.0

    async def __call__(self) -> None:
        """Return once the configuration was read after this was called."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._work(), name="second look")
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        await asyncio.shield(self._next)

    def cancel(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        await asyncio.sleep(self._looked_at + PAUSE_SECONDS - time.monotonic())
        self._next = None
        self._looked_at = time.monotonic()
        try:
            await self._look()
        except DatabaseLost:
            return  # The configuration that was read last goes on being served.
        except Exception:
            logger.exception("The configuration could not be read; the old one stays.")
