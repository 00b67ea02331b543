"""The scheduler's hands: starts and stops engines, lets requests through, reconciles.

One runner owns all engines of the machine. Everything here happens in one event loop, so the
scheduler is asked and told without locks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from models_app.devices import Device
from models_app.hardware import free
from proxy_app.alarm import Alarm
from proxy_app.budget import Bytes
from proxy_app.engine_spec import EngineSpec
from proxy_app.entrance import Entrance
from proxy_app.errors import (
    GatewayError,
    ModelFailedToStart,
    ModelNotFound,
    ModelUnloaded,
    NoEngine,
    QueueFull,
    ServerStopping,
)
from proxy_app.failures import Failure, Failures
from proxy_app.guards import GuardedProcess, GuardPool
from proxy_app.heir import Heir
from proxy_app.last_use import LastUse
from proxy_app.launching import CannotStart, NoBinary, spec_of
from proxy_app.lease import Lease
from proxy_app.ledger import Entry, Ledger
from proxy_app.lineup import Lineup, Served
from proxy_app.measurements import Measurements
from proxy_app.memory_wait import MemoryWait, needs_free
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineState
from proxy_app.read_ahead import files_of, read_ahead
from proxy_app.resting import Resting
from proxy_app.runner_orders import RunnerOrders
from proxy_app.scheduler import Scheduler
from proxy_app.seats import Refusal, Ticket
from proxy_app.tasks import Tasks

logger = logging.getLogger(__name__)

UNKNOWN_WAIT = 5.0
"""Seconds after which a client should come back when nothing tells how long it takes."""

NOTICE_SECONDS = 5.0
"""How long it may take until it is known that an engine's process has ended."""

Descend = Callable[[str, str], Awaitable[bool]]
"""Takes a model and why its engine ran out of memory; True when a smaller plan is in place."""

OnReady = Callable[[Engine, float], Coroutine[Any, Any, None]]
"""Takes an engine that has become ready, and the seconds from its start until then."""


class Runner(RunnerOrders):
    """Implements the scheduler's `Effects` with real engines."""

    def __init__(
        self,
        home: Path,
        guards: GuardPool,
        ledger: Ledger,
        on_change: Callable[[], None],
        descend: Descend,
        on_ready: OnReady,
        on_queue: Callable[[], None] = lambda: None,
        read_free: Callable[[tuple[Device, ...]], Bytes] = free.read,
    ) -> None:
        """`on_change` is called when a model's state did; `descend` plans a model smaller.

        `on_ready` follows every load, at leisure: requests are let through meanwhile. `on_queue`
        is called when somebody starts or ends to wait. `read_free` tells what is free of RAM and
        of each GPU, in bytes; it may block.
        """
        self._home = home
        self._guards = guards
        self._ledger = ledger
        self._on_change = on_change
        self._descend = descend
        self._on_ready = on_ready
        self._on_queue = on_queue
        self._read_free = read_free
        self.configured = Lineup()
        """As it was given; `lineup` is the same with what was measured since."""
        self.lineup = Lineup()
        self.uses = LastUse()
        self._tasks = Tasks()
        self._measurements = Measurements(home / "run" / "measured.json")
        self._memory = MemoryWait(self._free_memory, self._tasks)
        self._ports = PortPool(self.lineup.start_port)
        self._scheduler = Scheduler(self, self.lineup.policy)
        self._engines: dict[str, Engine] = {}
        self._started: dict[str, float] = {}
        self._ready_at: dict[str, float] = {}
        self._ending: set[str] = set()
        self._resting = Resting(self._bring_back)
        self._failures = Failures(self.lineup.engines.start_pauses)
        self._entrance = Entrance()
        self._alarm = Alarm(self._scheduler.next_deadline, self._scheduler.on_tick)
        self._changed = asyncio.Condition()
        self._heir: Heir | None = None

    # ---- Requests ------------------------------------------------------------------------

    def admit(self, model: str, now: float) -> Lease | None:
        """A place at the model's engine if it can be had at once; None leaves no trace.

        As `acquire`, which waits. Who does not wait takes nobody's turn, so it matters not whose.
        `now` is by `time.monotonic`.
        """
        engine = self.ready_engine(model)
        if engine is None:
            return None
        ticket = Ticket(model, now)
        self._entrance.arrive(ticket)
        if not self._scheduler.seat(ticket, now):
            return None
        return Lease(self, ticket, engine)

    async def acquire(self, model: str, caller: str = "", priority: int | None = None) -> Lease:
        """A place at the model's engine, waiting for its turn and loading it if need be.

        Callers who wait take turns. A higher priority goes first; None is the model's own.
        Raises QueueFull, ModelFailedToStart, ServerStopping or ModelNotFound.
        """
        while True:
            if model not in self._engines:
                self._failures.refuse_while_resting(model, time.monotonic())
            ticket = Ticket(model, time.monotonic(), caller, priority)
            self._entrance.arrive(ticket)
            self._scheduler.on_request(ticket, ticket.arrived)
            if (refused := self._entrance.refused) is not None:
                raise self._error(model, refused)
            if ticket.seat is None:
                await self._wait(ticket)
            engine = self._engines.get(model)
            if engine is not None and engine.state is EngineState.READY:
                return Lease(self, ticket, engine)
            # It ended between the grant and this turn of the loop: nothing was sent, so again.
            self.release(ticket)

    async def wait_until_ended(self, engine: Engine) -> bool:
        """Until an engine that cannot be reached is known to have ended; False when it has not."""
        try:
            async with asyncio.timeout(NOTICE_SECONDS), self._changed:
                await self._changed.wait_for(lambda: engine.state is not EngineState.READY)
        except TimeoutError:
            return False
        return True

    async def _wait(self, ticket: Ticket) -> None:
        self._alarm.set()
        self._on_queue()
        try:
            await self._entrance.wait(ticket)
        except asyncio.CancelledError:
            # The grant may have come in the same turn of the loop as the client's leaving.
            if ticket.seat is not None:
                self.release(ticket)
            else:
                self._scheduler.on_cancel(ticket, time.monotonic())
                self._alarm.set()
            raise
        finally:
            self._on_queue()

    def release(self, ticket: Ticket) -> None:
        """A granted request ended."""
        now, seat = time.monotonic(), ticket.seat
        self.uses.note(ticket.model)
        if self._heir is not None:
            self._heir.tell_done(ticket.model)
        decided = self._scheduler.on_done(ticket, now)
        # Without a decision only this model's idle time has begun anew.
        ttl = seat.limits.ttl if seat is not None else 0
        if decided or (ttl > 0 and not self._alarm.rings_by(now + ttl)):
            self._alarm.set()

    # ---- The scheduler's effects -----------------------------------------------------------

    def start(self, model: str) -> None:
        served = self.lineup.models[model]
        self._failures.starts(model)
        self._resting.end(model)
        try:
            engine = self._engine(self._spec(served))
        except NoBinary as error:
            self._cannot_start(model, partial(NoEngine, str(error)))
        except (CannotStart, ValueError, OSError) as error:
            self._cannot_start(model, partial(ModelFailedToStart, model, str(error)))
        except Exception as error:
            # Unanswered, the scheduler would wait for this engine for ever.
            logger.exception("%s could not be started", model)
            self._cannot_start(model, partial(ModelFailedToStart, model, repr(error)))
        else:
            self._engines[model] = engine
            logger.info("Loading %s", model)
            need = needs_free(served, self.lineup.policy.models[model].need)
            self._memory.start(engine, need, self.lineup.memory_wait)

    async def _free_memory(self) -> Bytes:
        devices = self.lineup.devices
        if not devices:
            return self._read_free(())
        return await asyncio.to_thread(self._read_free, devices)

    def _cannot_start(self, model: str, failure: Failure) -> None:
        self._failures.not_started(model, failure)
        asyncio.get_running_loop().call_soon(self._ended, model, True)

    def _engine(self, spec: EngineSpec) -> Engine:
        return Engine(
            spec,
            guards=self._guards,
            ports=self._ports,
            ledger=self._ledger,
            on_change=self._engine_changed,
        )

    def _spec(self, served: Served) -> EngineSpec:
        lineup = self.lineup
        return spec_of(served, self._home, lineup.start_timeout, lineup.engines)

    # ---- Engines of an earlier server ------------------------------------------------------

    def spec_to_adopt(self, entry: Entry) -> EngineSpec | None:
        """How the entry's model would be started now; None when that differs from the entry."""
        served = self.lineup.models.get(entry.model_id)
        try:
            spec = self._spec(served) if served is not None else None
        except (CannotStart, ValueError, OSError):
            return None
        if spec is None or spec.fingerprint != entry.fingerprint:
            return None
        return replace(spec, api_key=entry.api_key)

    def adopt(self, spec: EngineSpec, entry: Entry, process: GuardedProcess) -> bool:
        """Serve with an engine that is ready; False when it cannot stay beside others."""
        if not self._scheduler.adopt(spec.model_id, time.monotonic()):
            return False
        self._ready_at[spec.model_id] = time.monotonic()
        self._engines[spec.model_id] = engine = self._engine(spec)
        engine.adopt(entry, process)
        return True

    def announce(self, model: str) -> None:
        launch = self.lineup.models[model].launch
        files = files_of(launch.argv) if launch else []
        if files:
            reading = asyncio.to_thread(read_ahead, files)
            self._tasks.spawn(reading, name=f"read the files of {model} ahead")

    def stop(self, model: str) -> None:
        engine = self._engines.get(model)
        self._ending.add(model)
        if self._memory.give_up(model):
            del self._engines[model]
            asyncio.get_running_loop().call_soon(self._ended, model, False)
        elif engine is not None:
            logger.info("Unloading %s", model)
            self._tasks.spawn(engine.stop(), name=f"stop {model}")

    def grant(self, ticket: Ticket) -> bool:
        return self._entrance.grant(ticket)

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        self._entrance.refuse(ticket, why, self._error)

    # ---- Engines report --------------------------------------------------------------------

    def _engine_changed(self, engine: Engine, old: EngineState, new: EngineState) -> None:
        model = engine.spec.model_id
        if self._engines.get(model) is not engine:
            return
        if new is EngineState.STARTING:
            self._started[model] = time.monotonic()
        elif new is EngineState.READY and old is EngineState.STARTING:
            logger.info("%s is ready on port %s", model, engine.port)
            now = self._ready_at[model] = time.monotonic()
            self._scheduler.on_ready(model, now)
            after = self._on_ready(engine, now - self._started[model])
            self._tasks.spawn(after, name=f"after the load of {model}")
        elif new is EngineState.STOPPING and model not in self._ending:
            self._scheduler.on_ending(model)
        elif new is EngineState.STOPPED:
            del self._engines[model]
            self._memory.ended(self._scheduler.held(model))
            failure = engine.failure
            if failure and failure.kind.out_of_memory and old is EngineState.STARTING:
                self._tasks.spawn(self._try_smaller(engine), name=f"plan {model} smaller")
            else:
                self._note_failure(engine, old)
                self._ended(model, failure is not None)
        self._alarm.set()
        self._notify()

    async def _try_smaller(self, engine: Engine) -> None:
        """Out of memory while loading: whoever waits goes on waiting while less is tried."""
        model, failure = engine.spec.model_id, engine.failure
        assert failure is not None
        logger.warning("%s ran out of memory while loading: %s", model, failure.reason)
        smaller = False
        try:
            smaller = await self._descend(model, failure.reason)
        finally:
            if not smaller:
                self._note_failure(engine, EngineState.STARTING)
            self._ended(model, not smaller)

    def _note_failure(self, engine: Engine, old: EngineState) -> None:
        failure = engine.failure
        if failure is None:
            return
        model, now = engine.spec.model_id, time.monotonic()
        if old is EngineState.STARTING:
            self._failures.start_failed(model, failure, now)
        else:
            self._failures.ended(model, failure, self._ready_at.get(model, now), now)
        if model in self.lineup.pinned():
            self._resting.rest(model, self._failures.backoff.remaining(model, now))

    def _bring_back(self, model: str) -> None:
        if model in self.lineup.pinned():
            self._scheduler.bring_back(model, time.monotonic())
            self._alarm.set()

    def _ended(self, model: str, failed: bool) -> None:
        self._ending.discard(model)
        self._scheduler.on_ended(model, time.monotonic(), failed=failed)
        self._alarm.set()
        self._notify()

    def _error(self, model: str, why: Refusal) -> GatewayError:
        match why:
            case Refusal.QUEUE_FULL:
                return QueueFull(model, self.expected_wait(model) or UNKNOWN_WAIT)
            case Refusal.START_FAILED:
                return self._failures.error(model)
            case Refusal.UNKNOWN_MODEL:
                return ModelNotFound(model)
            case Refusal.UNLOADED:
                return ModelUnloaded(model)
            case Refusal.STOPPING:
                return ServerStopping()

    # ---- The end ------------------------------------------------------------------------------

    async def hand_over(self, heir: Heir) -> None:
        """Leave what is ready to another server, and end what is not.

        Requests at engines go on; the heir is told how many, and of the end of each.
        """
        self._close()
        self._memory.give_up_all()
        self._alarm.stop()
        engines = self._engines.values()
        unready = [engine for engine in engines if engine.state is not EngineState.READY]
        await asyncio.gather(*(engine.stop() for engine in unready))
        await self._guards.let_go(frozenset(one.pid for one in engines if one.pid is not None))
        self._heir = heir
        heir.relieve_us({model: self._scheduler.in_flight(model) for model in self._engines})

    def cut_off(self) -> None:
        """Take no more requests and end every engine now, whatever is in flight."""
        self._close()
        for model in self._scheduler.loaded():
            self._scheduler.unload(model, time.monotonic(), force=True)

    async def close(self, grace: float) -> None:
        """Refuse new requests, give those in flight `grace` seconds, then end every engine."""
        self._close()
        try:
            async with asyncio.timeout(grace):
                await self.unload()
        except TimeoutError:
            logger.warning("Requests were still running after %s s; they are cut off.", grace)
            await self.unload(force=True)
        self._alarm.stop()

    def _close(self) -> None:
        self._scheduler.close()
        self._resting.end_all()

    def __repr__(self) -> str:
        return f"<Runner {self._scheduler!r}>"
