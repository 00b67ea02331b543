"""Engines that wait to be started until the memory of those before them is free again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from models_app.devices import MIB
from proxy_app.budget import RAM, Bytes
from proxy_app.given_back import GivenBack
from proxy_app.lineup import Served
from proxy_app.process import Engine
from proxy_app.tasks import Tasks

logger = logging.getLogger(__name__)


class MemoryWait:
    """Starts engines, some of them a little later."""

    def __init__(self, read_free: Callable[[], Awaitable[Bytes]], tasks: Tasks) -> None:
        """`read_free` tells the free bytes of each device."""
        self._given_back = GivenBack(read_free)
        self._tasks = tasks
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def ended(self, held: Bytes) -> None:
        """An engine is gone that held this."""
        self._given_back.ended(held)

    def start(self, engine: Engine, need: Bytes, limit: float) -> None:
        """At once, or when what it needs was given back, `limit` seconds after that at most."""
        model = engine.spec.model_id
        if self._given_back.concerns(need, limit):
            waiting = self._start_later(engine, need, limit)
            self._waiting[model] = self._tasks.spawn(waiting, name=f"memory for {model}")
        else:
            engine.start()

    def give_up(self, model: str) -> bool:
        """Whether it was still waiting. It is not started then."""
        waiting = self._waiting.pop(model, None)
        if waiting is not None:
            waiting.cancel()
        return waiting is not None

    def give_up_all(self) -> None:
        for model in list(self._waiting):
            self.give_up(model)

    def __contains__(self, model: str) -> bool:
        return model in self._waiting

    async def _start_later(self, engine: Engine, need: Bytes, limit: float) -> None:
        model = engine.spec.model_id
        try:
            missing = await self._given_back.wait(need, limit)
            if missing:
                words = _in_words(missing)
                logger.warning("%s is started although %s after %g s.", model, words, limit)
        except Exception:
            # What is free is only a hint; the engine finds out by itself.
            logger.exception("The free memory could not be read before %s is started.", model)
        del self._waiting[model]
        engine.start()


def needs_free(served: Served, need: Bytes) -> Bytes:
    """What has to be free for the model: not the files that the kernel maps and drops."""
    memory = served.entry.memory
    return {**need, RAM: max(0, need.get(RAM, 0) - (memory.mapped if memory else 0))}


def _in_words(missing: Bytes) -> str:
    """For example: 512 MiB of CUDA0 are not free."""
    parts = (f"{size // MIB + 1} MiB of {device}" for device, size in sorted(missing.items()))
    return " and ".join(parts) + " are not free"
