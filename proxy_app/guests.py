"""Requests of the server before us at engines that are ours now."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from proxy_app.lease import Lease
from proxy_app.predecessor import Predecessor
from proxy_app.process import EngineState
from proxy_app.runner import Runner


class Guests:
    """Holds a place at the engine for each of them, until it ends.

    So the engine is not stopped under them, and its limit counts them.
    """

    def __init__(self, runner: Runner, predecessor: Predecessor) -> None:
        self._places: defaultdict[str, list[asyncio.Task[Lease]]] = defaultdict(list)
        loop = asyncio.get_running_loop()
        for model in predecessor.busy.elements():
            if runner.state(model) is EngineState.READY:
                place = loop.create_task(runner.acquire(model), name=f"guest at {model}")
                self._places[model].append(place)
        follow = predecessor.follow(self._leave)
        self._following = loop.create_task(follow, name="the server before us")

    @property
    def count(self) -> int:
        """How many there are still."""
        return sum(map(len, self._places.values()))

    async def end(self, *, wait: bool) -> None:
        """With `wait` when all of them have ended, else now."""
        if not wait:
            self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        for model, places in self._places.items():
            while places:
                self._leave(model)

    def _leave(self, model: str) -> None:
        if not self._places[model]:
            return  # Its engine was not to be had.
        place = self._places[model].pop()
        if not place.done():
            place.cancel()
        elif not place.cancelled() and place.exception() is None:
            place.result().give_back()
