"""What can be seen of a runner: states, queues, memory, and what is likely to happen."""

from __future__ import annotations

import time

from proxy_app.budget import Bytes, total
from proxy_app.engine_states import EngineState
from proxy_app.failures import Failures
from proxy_app.forecast import Forecast
from proxy_app.lease import ModelStatus
from proxy_app.lineup import Lineup
from proxy_app.measurements import Measurements
from proxy_app.memory_wait import MemoryWait
from proxy_app.process import Engine
from proxy_app.resting import Resting
from proxy_app.scheduler import Scheduler


class RunnerView:
    """The half of a runner that changes nothing."""

    lineup: Lineup
    _scheduler: Scheduler
    _engines: dict[str, Engine]
    _measurements: Measurements
    _memory: MemoryWait
    _failures: Failures
    _resting: Resting
    _started: dict[str, float]
    _ready_at: dict[str, float]

    def measured_need(self, model: str) -> Bytes | None:
        """What the model took of each device when it was loaded like this; None: not known."""
        served = self.lineup.models.get(model)
        if served is None:
            return None
        memory = served.entry.memory
        known = self._measurements.of(served)
        return known if known is not None else memory.measured if memory else None

    def held(self) -> Bytes:
        """Memory that loaded models count for."""
        return total(self._scheduler.seats())

    def forecast(self) -> Forecast:
        """The queues, and what is likely to happen."""
        return self._scheduler.forecast(time.monotonic())

    def expected_wait(self, model: str) -> float | None:
        """Seconds a request that came now would wait; None when nothing tells."""
        return self.forecast().next_in_line(model)

    def loading_seconds(self, model: str, since: float) -> float:
        """How much of the time since then a loaded model was being loaded."""
        ready = self._ready_at.get(model, 0.0)
        if ready <= since:
            return 0.0
        return ready - max(since, self._started.get(model, ready))

    def gpus(self, model: str) -> int:
        """How many GPUs the model has memory on; 0 when it runs on the processor."""
        limits = self.lineup.policy.models.get(model)
        return limits.gpus if limits is not None else 0

    def state(self, model: str) -> EngineState:
        if model in self._memory:
            return EngineState.STARTING
        engine = self._engines.get(model)
        return engine.state if engine else EngineState.STOPPED

    def is_resting(self, model: str) -> bool:
        """Whether it is pinned, its engine failed, and it is loaded again after a while."""
        return model in self._resting

    def engine(self, model: str) -> Engine | None:
        return self._engines.get(model)

    def ready_engine(self, model: str) -> Engine | None:
        """Its engine if that can be asked now."""
        engine = self._engines.get(model)
        return engine if engine is not None and engine.state is EngineState.READY else None

    def is_up(self, model: str) -> bool:
        """Whether its engine is ready or on its way there: a request for it loads nothing."""
        engine = self._engines.get(model)
        return engine is not None and engine.state in (EngineState.STARTING, EngineState.READY)

    def statuses(self) -> list[ModelStatus]:
        """Every served model, sorted by id."""
        return [
            ModelStatus(
                model=model,
                state=self.state(model),
                in_flight=self._scheduler.in_flight(model),
                queued=self._scheduler.queued(model),
                problem=served.problem or self._failures.problem(model),
            )
            for model, served in sorted(self.lineup.models.items())
        ]

    def in_flight(self) -> int:
        """Requests that engines are answering."""
        return sum(self._scheduler.in_flight(model) for model in self._engines)
