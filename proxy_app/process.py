"""One engine, one owner: a task with a mailbox, the only one that writes the engine's state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from proxy_app.engine_launch import Launcher
from proxy_app.engine_run import (
    Adopted,
    Exited,
    Failed,
    Gone,
    Healthy,
    KeepAsked,
    Launched,
    Message,
    Run,
    StopAsked,
    Wanted,
)
from proxy_app.engine_spec import (
    EngineFailure,
    EngineSpec,
    EngineStartFailed,
    EngineStopped,
    EngineTimeouts,
)
from proxy_app.engine_states import (
    ENGINE_TRANSITIONS,
    EngineEvent,
    EngineState,
    NoSuchTransition,
    next_state,
)
from proxy_app.guard_channel import Exit
from proxy_app.guards import GuardedProcess, GuardPool, LaunchFailed
from proxy_app.ledger import Entry, Ledger
from proxy_app.ports import NoFreePort, PortPool
from proxy_app.readiness import NotReadyInTime, Readiness, StrangerAnswers
from proxy_app.start_failures import Diagnosis, FailureKind, diagnose
from proxy_app.upstream import EnginePool

__all__ = [
    "ENGINE_TRANSITIONS",
    "Engine",
    "EngineFailure",
    "EngineSpec",
    "EngineStartFailed",
    "EngineState",
    "EngineStopped",
    "EngineTimeouts",
    "NoSuchTransition",
]

logger = logging.getLogger(__name__)

PORT_RETRIES = 3
"""How often an engine whose port was taken under its nose is started on another one."""

LOG_LINES = 20
"""How many of the newest log lines a failure carries. The reason is looked for in more of them."""

OnChange = Callable[["Engine", EngineState, EngineState], None]


class Engine:
    """A llama-server, or any command that serves HTTP.

    Its attributes are for display. To act, ask: `ensure_ready()` and `stop()` do the right thing
    in every state. Lives in one event loop; needs no closing once it is stopped.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        guards: GuardPool,
        ports: PortPool,
        ledger: Ledger,
        timeouts: EngineTimeouts | None = None,
        on_change: OnChange = lambda engine, old, new: None,
    ) -> None:
        """`on_change(engine, old, new)` is called at every move, in the event loop."""
        self.spec = spec
        self.state = EngineState.STOPPED
        self.since = time.time()
        """When it came into this state, in seconds since 1970."""
        self.port: int | None = None
        self.pid: int | None = None
        self.base_url: str | None = None
        self.pool: EnginePool | None = None
        self.failure: EngineFailure | None = None
        """Why the newest run ended by itself; None if it did not."""
        self._launcher = Launcher(spec, guards, ports, ledger)
        self._adopt_wait = spec.adopt_wait
        self._timeouts = timeouts or EngineTimeouts()
        self._on_change = on_change
        self._mailbox: asyncio.Queue[Message] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._run: Run | None = None
        self._again = False
        self._waiters: list[asyncio.Future[None]] = []
        self._stop_waiters: list[asyncio.Future[None]] = []

    # ---- Requests --------------------------------------------------------------------------

    def start(self) -> None:
        """Have it started, unless it is up or coming up. How it goes, `on_change` tells."""
        self._post(Wanted(None))

    async def ensure_ready(self) -> None:
        """Wait until it is ready, starting it if need be.

        Raises EngineStartFailed, and EngineStopped when it was told to stop meanwhile. Leaving
        this wait does not stop the engine.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._post(Wanted(waiter))
        await waiter

    async def stop(self, grace: float | None = None) -> None:
        """Stop it from any state and wait until nothing of it is alive.

        Its connections are cut first. `grace` is in seconds, the spec's if None; of several
        requests the soonest counts.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._post(StopAsked(waiter, self.spec.stop_grace if grace is None else grace))
        await waiter

    async def kill(self) -> None:
        """Stop it with SIGKILL, at once."""
        await self.stop(0)

    def adopt(self, entry: Entry, process: GuardedProcess) -> None:
        """Take over a ready engine of an earlier server. Only for one that never ran."""
        self._post(Adopted(entry, process))

    def keep(self, wait: float) -> None:
        """How long it is to live on, in seconds, when this server is suddenly gone."""
        self._post(KeepAsked(wait))

    def __repr__(self) -> str:
        parts = [self.spec.model_id, self.state.value]
        if self.port is not None:
            parts.append(f"port={self.port}")
        if self.pid is not None:
            parts.append(f"pid={self.pid}")
        if self.failure is not None:
            parts.append(f"failure={self.failure.kind}")
        return f"<Engine {' '.join(parts)} for {time.time() - self.since:.0f} s>"

    # ---- The owner -------------------------------------------------------------------------

    def _post(self, message: Message) -> None:
        self._mailbox.put_nowait(message)
        if self._owner is None or self._owner.done():
            self._owner = asyncio.get_running_loop().create_task(
                self._own(), name=f"engine {self.spec.model_id}"
            )

    async def _own(self) -> None:
        """Handle what comes in, one message at a time, until the engine rests."""
        while True:
            message = await self._mailbox.get()
            try:
                self._handle(message)
            except Exception:
                logger.exception("%r could not handle %s", self, type(message).__name__)
            if self.state is EngineState.STOPPED and self._mailbox.empty():
                return

    def _handle(self, message: Message) -> None:
        match message:
            case Wanted(waiter):
                self._on_wanted(waiter)
            case Adopted(entry, process):
                self._on_adopted(entry, process)
            case KeepAsked(wait):
                self._on_keep_asked(wait)
            case StopAsked(waiter, grace):
                self._on_stop_asked(waiter, grace)
            case Launched(run, process):
                self._on_launched(run, process)
            case Healthy(run):
                self._on_healthy(run)
            case Failed(run, diagnosis):
                self._on_failed(run, diagnosis)
            case Exited(run, exit_):
                self._on_exited(run, exit_)
            case Gone(run):
                self._on_gone(run)

    def _move(self, event: EngineEvent) -> None:
        """The one place where the state is written. Last in its handler: `on_change` may ask."""
        old, self.state = self.state, next_state(self.state, event)
        self.since = time.time()
        self._on_change(self, old, self.state)

    # ---- Requests, handled -----------------------------------------------------------------

    def _on_wanted(self, waiter: asyncio.Future[None] | None) -> None:
        if self.state is EngineState.READY:
            _resolve(waiter)
            return
        if waiter is not None:
            self._waiters.append(waiter)
        if self._run is None:
            self._begin()
        elif self._run.ending:
            self._again = True

    def _begin(self) -> None:
        self.failure = None
        self._attempt(1)
        self._move(EngineEvent.START)

    def _attempt(self, number: int) -> None:
        self._again = False
        self._run = run = Run(number)
        run.driver = asyncio.get_running_loop().create_task(
            self._drive(run), name=f"run {self.spec.model_id}"
        )

    def _on_adopted(self, entry: Entry, process: GuardedProcess) -> None:
        self._run = run = Run(1)
        self._launcher.take_over(run, entry)
        self._meet(run, process)
        run.driver = asyncio.get_running_loop().create_task(
            self._follow(run, process), name=f"run {self.spec.model_id}"
        )
        process.keep(self._adopt_wait)
        self._move(EngineEvent.ADOPT)

    def _on_keep_asked(self, wait: float) -> None:
        self._adopt_wait = wait
        if self.state is EngineState.READY and self._run is not None and self._run.process:
            self._run.process.keep(wait)

    def _on_stop_asked(self, waiter: asyncio.Future[None], grace: float) -> None:
        self._again = False
        self._refuse_waiters()
        run = self._run
        if run is None:
            _resolve(waiter)
            return
        self._stop_waiters.append(waiter)
        self._end(run, grace)
        if self.state is not EngineState.STOPPING:
            self._move(EngineEvent.STOP)

    def _refuse_waiters(self) -> None:
        losers = self._run.losers if self._run is not None else []
        for waiter in (*self._waiters, *losers):
            _fail(waiter, EngineStopped(self.spec.model_id))
        self._waiters.clear()
        losers.clear()

    def _end(self, run: Run, grace: float) -> None:
        """Cut its connections, since it would finish generating first, and have it stopped."""
        run.ending = True
        run.grace = grace if run.grace is None else min(run.grace, grace)
        self._cut(run)
        if run.process is not None:
            run.process.request_stop(run.grace)

    def _cut(self, run: Run) -> None:
        if run.watch is not None:
            run.watch.cancel()
        if self.pool is not None:
            self.pool.close()

    # ---- Reports, handled ------------------------------------------------------------------

    def _on_launched(self, run: Run, process: GuardedProcess) -> None:
        self._meet(run, process)
        if run.grace is not None:
            process.request_stop(run.grace)
            return
        run.watch = asyncio.get_running_loop().create_task(
            self._watch(run, process), name=f"readiness of {self.spec.model_id}"
        )

    def _meet(self, run: Run, process: GuardedProcess) -> None:
        url = self.spec.url_on(run.port)
        assert url.hostname is not None
        run.process = process
        self.pid = process.pid
        self.port = url.port or 80
        self.base_url = url.geturl()
        self.pool = EnginePool(url.hostname, self.port)

    def _on_healthy(self, run: Run) -> None:
        if run.ending:
            return
        if self._adopt_wait > 0 and run.process is not None:
            self._launcher.keep(run, run.process, self._adopt_wait)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _resolve(waiter)
        self._move(EngineEvent.HEALTHY)

    def _on_failed(self, run: Run, diagnosis: Diagnosis) -> None:
        if run.ending:
            return
        self._lose(run, diagnosis)
        self._end(run, self.spec.stop_grace)

    def _on_exited(self, run: Run, exit_: Exit) -> None:
        run.exit = exit_
        if run.ending:
            return
        self._cut(run)
        loading = self.state is EngineState.STARTING
        self._lose(run, diagnose(exit_.log_lines, exit_.code, exit_.signal, loading=loading))
        if self.state is EngineState.READY:
            self._note_failure(run)
            self._move(EngineEvent.EXITED)

    def _lose(self, run: Run, diagnosis: Diagnosis) -> None:
        """The run has failed. Its waiters are told when its exit and last lines are known."""
        run.ending = True
        run.diagnosis = diagnosis
        run.losers, self._waiters = self._waiters, []

    def _note_failure(self, run: Run) -> None:
        if run.diagnosis is None:
            return
        exit_ = run.exit or Exit(None, None)
        tail = exit_.log_lines[-LOG_LINES:]
        self.failure = EngineFailure(
            run.diagnosis.kind, run.diagnosis.reason, exit_.code, exit_.signal, tail
        )

    def _on_gone(self, run: Run) -> None:
        self._launcher.give_back(run)
        if self._deserves_another_attempt(run):
            self._waiters = run.losers + self._waiters
            self._attempt(run.attempt + 1)
            return
        self._run = None
        self.pid = self.port = self.base_url = None
        self._note_failure(run)
        if self.failure is not None:
            for waiter in run.losers:
                _fail(waiter, EngineStartFailed(self.spec.model_id, self.failure))
        stopped, self._stop_waiters = self._stop_waiters, []
        for waiter in stopped:
            _resolve(waiter)
        if self._again:
            self._mailbox.put_nowait(Wanted(None))
        self._move(EngineEvent.GONE)

    def _deserves_another_attempt(self, run: Run) -> bool:
        if self.state is not EngineState.STARTING or run.diagnosis is None:
            return False
        match run.diagnosis.kind:
            case FailureKind.PORT_TAKEN:
                return run.attempt <= PORT_RETRIES and self.spec.wants_port
            case FailureKind.EXITED:
                return run.attempt == 1 and self.spec.may_lose_its_last_words
        return False

    # ---- A run's own tasks: they report, and write nothing but the run -----------------------

    async def _drive(self, run: Run) -> None:
        """From the launch to the end of everything that came of it."""
        try:
            process = await self._launcher.launch(run)
            self._post(Launched(run, process))
            self._launcher.record(run, process, ready=False)
            self._post(Exited(run, await process.wait()))
            await process.wait_closed()
        except (LaunchFailed, NoFreePort) as error:
            self._post(Failed(run, Diagnosis(FailureKind.NOT_STARTED, str(error))))
        except Exception as error:
            # Whatever it is, an engine that stays "starting" for ever would be worse.
            logger.exception("%r could not be run", self)
            self._post(Failed(run, Diagnosis(FailureKind.NOT_STARTED, repr(error))))
        self._post(Gone(run))

    async def _follow(self, run: Run, process: GuardedProcess) -> None:
        self._post(Exited(run, await process.wait()))
        await process.wait_closed()
        self._post(Gone(run))

    async def _watch(self, run: Run, process: GuardedProcess) -> None:
        try:
            await Readiness(self.spec, run.port, process, self._timeouts).wait()
        except NotReadyInTime as error:
            self._post(Failed(run, Diagnosis(FailureKind.TIMED_OUT, str(error))))
        except StrangerAnswers:
            taken = f"its port {self.port} is served by another program"
            self._post(Failed(run, Diagnosis(FailureKind.PORT_TAKEN, taken)))
        except Exception as error:
            # For example an address whose host is no name; unreported it would load for ever.
            logger.exception("%r could not be asked whether it is ready", self)
            self._post(Failed(run, Diagnosis(FailureKind.NOT_STARTED, repr(error))))
        else:
            self._post(Healthy(run))


def _resolve(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _fail(waiter: asyncio.Future[None], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
