"""Watches an engine come up."""

from __future__ import annotations

import asyncio

from proxy_app import health
from proxy_app.engine_spec import NO_CHECK, EngineSpec, EngineTimeouts
from proxy_app.guards import GuardedProcess
from proxy_app.listeners import Listener, listener_on


class StrangerAnswers(Exception):
    """The port is served by a program that was there before the engine."""


class NotReadyInTime(Exception):
    """The start timeout passed; the message says what was last seen."""


class Readiness:
    """One engine's way from its launch to its first healthy answer."""

    def __init__(
        self, spec: EngineSpec, port: int | None, process: GuardedProcess, timeouts: EngineTimeouts
    ) -> None:
        url = spec.url_on(port)
        assert url.hostname is not None
        self._spec = spec
        self._host = url.hostname
        self._port = url.port or 80
        self._path = url.path + spec.check_endpoint
        self._process = process
        self._timeouts = timeouts
        self._last: int | None = None

    async def wait(self) -> None:
        """Until the engine is ready. Raises NotReadyInTime and StrangerAnswers.

        It goes on asking a process that has ended: whoever calls watches for that.
        """
        if self._spec.check_endpoint == NO_CHECK:
            await asyncio.sleep(self._timeouts.settle)
            return
        try:
            async with asyncio.timeout(self._spec.start_timeout):
                await self._until_ours_is_healthy()
        except TimeoutError:
            raise NotReadyInTime(self._too_late()) from None

    async def _until_ours_is_healthy(self) -> None:
        await self._until_healthy()
        whose = await asyncio.to_thread(listener_on, self._port, self._process.pid)
        if whose is Listener.STRANGER:
            raise StrangerAnswers
        if whose is Listener.UNKNOWN:
            await asyncio.sleep(self._timeouts.confirm)
            await self._until_healthy()

    async def _until_healthy(self) -> None:
        """200 is healthy. 503 is still loading, no answer not yet listening: ask again."""
        while True:
            status = await health.ask(self._host, self._port, self._path, self._timeouts.answer)
            if status == 200:
                return
            self._last = status or self._last
            await asyncio.sleep(self._timeouts.poll)

    def _too_late(self) -> str:
        seen = "never answered" if self._last is None else f"last answered {self._last}"
        return f"it was not ready within {self._spec.start_timeout:g} s (GET {self._path} {seen})"
