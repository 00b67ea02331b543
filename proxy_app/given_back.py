"""Waits until the memory of engines that ended is free again.

An engine's end is known a moment before a GPU's driver has taken its memory back. Started in
between, the next one would run out of memory, or be planned smaller for nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from proxy_app.budget import Bytes, not_back

POLL_SECONDS = 0.05

Read = Callable[[], Awaitable[Bytes]]
"""Free bytes of each device, now."""


class GivenBack:
    """What engines held that ended lately."""

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._held: dict[str, float] = {}
        """When an engine ended last that held memory of a device."""

    def ended(self, held: Bytes) -> None:
        """An engine is gone that held this."""
        now = self._clock()
        self._held.update({device: now for device, size in held.items() if size > 0})

    def concerns(self, need: Bytes, limit: float) -> bool:
        """Whether there is anything to wait for, within `limit` seconds of an engine's end."""
        return bool(self._lately(limit).keys() & need.keys())

    async def wait(self, need: Bytes, limit: float) -> dict[str, int]:
        """Until `need` is free on the devices that engines left, at most `limit` seconds long.

        Returns the bytes still missing on each device; empty when there is room.
        """
        missing: dict[str, int] = {}
        while lately := self._lately(limit):
            missing = not_back(need, await self._read(), lately)
            if not missing:
                # Nobody needs to look again for these engines.
                self._held = {d: at for d, at in self._held.items() if d not in need}
                break
            await asyncio.sleep(POLL_SECONDS)
        return missing

    def _lately(self, limit: float) -> dict[str, float]:
        now = self._clock()
        return {device: at for device, at in self._held.items() if now < at + limit}
