"""Pinned models whose engines failed, until each is loaded again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

SHORTEST_REST = 1.0
"""Seconds, whatever the start pauses."""


class Resting:
    """Wakes each of them after its rest."""

    def __init__(self, on_rested: Callable[[str], None]) -> None:
        self._on_rested = on_rested
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def rest(self, model: str, seconds: float) -> None:
        self.end(model)
        loop = asyncio.get_running_loop()
        self._timers[model] = loop.call_later(max(SHORTEST_REST, seconds), self._rested, model)

    def end(self, model: str) -> None:
        """Whatever happens to it next does not happen because its rest is over."""
        if (timer := self._timers.pop(model, None)) is not None:
            timer.cancel()

    def end_all(self) -> None:
        for model in list(self._timers):
            self.end(model)

    def __contains__(self, model: str) -> bool:
        return model in self._timers

    def __iter__(self) -> Iterator[str]:
        return iter(self._timers)

    def _rested(self, model: str) -> None:
        self.end(model)
        self._on_rested(model)
