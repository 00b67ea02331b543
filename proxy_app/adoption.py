"""Takes over the engines that an earlier server left, as far as they are still wanted."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from proxy_app import health
from proxy_app.engine_spec import NO_CHECK, EngineSpec
from proxy_app.guards import GuardedProcess, GuardPool
from proxy_app.ledger import Entry, Ledger

logger = logging.getLogger(__name__)

HEALTH_SECONDS = 5.0
"""How long a survivor may take to say that it is well; it may be in the middle of a generation."""


class Adopter(Protocol):
    """Who takes engines over. The runner implements it."""

    def spec_to_adopt(self, entry: Entry) -> EngineSpec | None:
        """How the entry's model would be started now; None when it is not wanted."""

    def adopt(self, spec: EngineSpec, entry: Entry, process: GuardedProcess) -> bool:
        """Serve with it from now on; False when it cannot stay beside those before it."""


async def adopt_survivors(ledger: Ledger, guards: GuardPool, adopter: Adopter) -> tuple[int, int]:
    """How many engines were taken over, and how many ended.

    One is taken over when it was ready, is healthy, and would be started the same way today.
    What the ledger does not know by pid, start time, command and token is never touched.
    """
    survivors = await asyncio.to_thread(ledger.survivors)
    one = _Adoption(ledger, guards, adopter)
    adopted = await asyncio.gather(*(one.settle(entry) for entry in survivors))
    return sum(adopted), len(adopted) - sum(adopted)


class _Adoption:
    def __init__(self, ledger: Ledger, guards: GuardPool, adopter: Adopter) -> None:
        self._ledger = ledger
        self._guards = guards
        self._adopter = adopter

    async def settle(self, entry: Entry) -> bool:
        spec = self._adopter.spec_to_adopt(entry) if entry.ready else None
        process = None
        if entry.ready:
            process = await self._guards.adopt(
                entry.identity, entry.guard_pid, self._ledger.folder, entry.stop_command
            )
        if process is None:
            await asyncio.to_thread(self._ledger.end, entry)
            return False
        well = spec is not None and await _is_well(spec, entry)
        if spec is not None and well and self._adopter.adopt(spec, entry, process):
            logger.info("Adopted the engine of %s, process %d", entry.model_id, entry.pid)
            return True
        logger.info("Ending the engine of %s, process %d", entry.model_id, entry.pid)
        await process.stop()
        self._ledger.forget(entry)
        return False


async def _is_well(spec: EngineSpec, entry: Entry) -> bool:
    if spec.check_endpoint == NO_CHECK:
        return True
    url = spec.url_on(entry.port)
    assert url.hostname is not None
    path = url.path + spec.check_endpoint
    return await health.ask(url.hostname, url.port or 80, path, HEALTH_SECONDS) == 200
