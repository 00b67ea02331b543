"""What people ask of a runner: load a model, unload it, serve another line-up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from proxy_app.alarm import Alarm
from proxy_app.budget import Bytes
from proxy_app.errors import ModelUnloaded
from proxy_app.lineup import Lineup
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineState
from proxy_app.runner_view import RunnerView
from proxy_app.tasks import Tasks


class RunnerOrders(RunnerView):
    """The half of a runner that people give orders to; requests and engines are the other."""

    configured: Lineup
    _on_change: Callable[[], None]
    _tasks: Tasks
    _ports: PortPool
    _alarm: Alarm
    _changed: asyncio.Condition

    def load(self, model: str) -> None:
        """Load a model without a request; `wait_until_settled` tells how it went."""
        self._failures.forgive(model)
        self._scheduler.load(model, time.monotonic())
        self._alarm.set()

    async def unload(self, model: str | None = None, *, force: bool = False) -> None:
        """Stop one model, or all, and wait until its engine is gone.

        Requests in flight are finished first, unless `force`.
        """
        models = (*self._scheduler.loaded(), *self._resting) if model is None else (model,)
        gone = [engine for name in models if (engine := self._engines.get(name))]
        for name in models:
            self._resting.end(name)
            self._scheduler.unload(name, time.monotonic(), force=force)
        self._notify()
        async with self._changed:
            await self._changed.wait_for(
                lambda: not any(engine in self._engines.values() for engine in gone)
            )

    async def wait_until_settled(self, model: str) -> None:
        """Until the model is ready.

        Raises ModelFailedToStart, or ModelUnloaded when somebody took the wish back.
        """

        def settled() -> bool:
            ready = self.state(model) is EngineState.READY
            return ready or model in self._failures or not self._scheduler.wants(model)

        async with self._changed:
            await self._changed.wait_for(settled)
        if model in self._failures:
            raise self._failures.error(model)
        if self.state(model) is not EngineState.READY:
            raise ModelUnloaded(model)

    def measured(self, engine: Engine, need: Bytes) -> None:
        """What an engine that is up really took of each device."""
        model = engine.spec.model_id
        if self._engines.get(model) is engine and model in self.lineup.models:
            self._measurements.note(self.lineup, model, need)
            self.lineup = self._measurements.applied(self.lineup)
            self._scheduler.configure(self.lineup.policy, time.monotonic())
            self._alarm.set()

    def remember_loads(self, seconds: Mapping[str, float]) -> None:
        """How long models took to load in earlier times."""
        self._scheduler.remember_loads(seconds)

    def apply(self, lineup: Lineup) -> tuple[str, ...]:
        """Serve another line-up; only engines whose launch changed are restarted, drained.

        Tells which of the loaded ones those are.
        """
        self.configured = lineup
        lineup = self._measurements.applied(lineup)
        before, self.lineup = self.lineup, lineup
        if lineup.start_port != before.start_port:
            self._ports.start_port = lineup.start_port
        changed = frozenset(
            model
            for model, served in lineup.models.items()
            if model in before.models and before.models[model].launch != served.launch
        )
        self._apply_rules(before, changed)
        restarting = tuple(model for model in self._scheduler.loaded() if model in changed)
        self._scheduler.configure(lineup.policy, time.monotonic(), changed)
        for model in lineup.pinned() - before.pinned():
            self._scheduler.load(model, time.monotonic())
        for model in lineup.pinned() & changed:
            if not self._scheduler.wants(model):  # It could not be started as it was before.
                self._scheduler.bring_back(model, time.monotonic())
        self._alarm.set()
        self._notify()
        return restarting

    def _apply_rules(self, before: Lineup, changed: frozenset[str]) -> None:
        rules, models = self.lineup.engines, self.lineup.models
        self._failures.backoff.pauses = rules.start_pauses
        self._failures.changed(changed, (m for m, s in before.models.items() if models.get(m) != s))
        if rules.adopt_wait != before.engines.adopt_wait:
            for engine in self._engines.values():
                engine.keep(rules.adopt_wait)

    def restart_all(self) -> tuple[str, ...]:
        """Start every loaded model anew, each once its requests are done; tells which."""
        models = self._scheduler.loaded()
        self._failures.backoff.forget(self.lineup.models)
        self._scheduler.configure(self.lineup.policy, time.monotonic(), frozenset(models))
        self._alarm.set()
        self._notify()
        return models

    # ---- Telling ------------------------------------------------------------------------------

    def _notify(self) -> None:
        self._on_change()
        self._tasks.spawn(self._wake(), name="runner changed")

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
