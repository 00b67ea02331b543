"""The way in for pages and REST views, which run in threads beside the serving loop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from models_app.document import ConfigDocument
from proxy_app.accounting import Accounting
from proxy_app.errors import ModelNotFound, NotServing
from proxy_app.lineup import Lineup, Served
from proxy_app.process import EngineState
from proxy_app.runner import Runner
from proxy_app.succession import Succession
from proxy_app.successor import Successor

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Reception(ABC):
    """What others may ask of a server, from any thread."""

    when_absent: Callable[[], None]
    succession: Succession | None
    on_restart: Callable[[Successor], None] | None
    _loop: asyncio.AbstractEventLoop | None
    _runner: Runner | None
    _accounting: Accounting | None
    _served: tuple[int, ConfigDocument] | None

    @abstractmethod
    async def _reload(self, *, anew: bool = False) -> tuple[str, ...]:
        """Serve what the database says now; the loaded models that restart for it."""

    def call(self, work: Callable[[Runner], Coroutine[Any, Any, T]]) -> T:
        """Run something with the runner in the serving loop and wait for its result.

        Raises NotServing in a process without engines.
        """
        if self._runner is None or self._loop is None:
            self.when_absent()
            raise NotServing
        return asyncio.run_coroutine_threadsafe(work(self._runner), self._loop).result()

    @property
    def accounting(self) -> Accounting:
        """The records of requests. Raises NotServing in a process without engines."""
        if self._accounting is None:
            self.when_absent()
            raise NotServing
        return self._accounting

    @property
    def runner(self) -> Runner | None:
        """What runs the engines; None in a process without."""
        if self._runner is None:
            self.when_absent()
        return self._runner

    @property
    def lineup(self) -> Lineup:
        """What is served right now; empty in a process without engines."""
        return self.runner.lineup if self.runner else Lineup()

    def find(self, name: str) -> Served:
        """The model that answers to a name. Raises ModelNotFound.

        A page can know of a model a moment before it is served; then this catches up first.
        """
        try:
            return self.lineup.resolve(name)
        except ModelNotFound:
            if self._runner is None:
                raise
            self.call(lambda runner: self._reload())
            return self.lineup.resolve(name)

    def loaded_models(self) -> frozenset[str]:
        """For `models_app.live`: models whose engines are up or on their way."""

        async def ask(runner: Runner) -> frozenset[str]:
            up = (EngineState.STARTING, EngineState.READY)
            return frozenset(one.model for one in runner.statuses() if one.state in up)

        try:
            return self.call(ask)
        except NotServing:
            return frozenset()

    def catch_up(self) -> None:
        """For `models_app.live`: serve what the database says now."""
        with suppress(NotServing):
            self.call(lambda runner: self._reload())

    def served(self) -> tuple[int, ConfigDocument] | None:
        """For `models_app.live`: the configuration in use, and its version."""
        return self._served

    def restart_engines(self, *, only_changed: bool) -> tuple[str, ...]:
        """Read the configuration again and restart running models, each once it is idle.

        Tells which. With `only_changed` those whose command changed. For other threads.
        """

        async def restart(runner: Runner) -> tuple[str, ...]:
            changed = await self._reload(anew=True)
            return changed if only_changed else runner.restart_all()

        return self.call(restart)

    def check_can_restart(self) -> None:
        """Raises NotServing where the server cannot be run anew."""
        if self.on_restart is None:
            raise NotServing

    def restart_server(self) -> None:
        """Run the server anew, its engines kept. For other threads; takes seconds.

        Raises NoSuccessor when the program on the disk does not start; we go on as we are then.
        Raises AlreadyFollowed while an earlier call is at it.
        """
        self.check_can_restart()
        assert self._loop is not None and self.on_restart is not None
        assert self.succession is not None
        successor = self.succession.prepare()
        logger.warning("The server starts anew.")
        self._loop.call_soon_threadsafe(self.on_restart, successor)
