"""What lives as long as the server: engines, worker, event streams, the configuration's watch.

The ASGI server's lifespan starts and stops it. A server without lifespan (daphne) never does,
and its gateway says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError

from models_app import hand_edits, live, needs, scan_runs
from models_app.document import ConfigDocument
from proxy_app import (
    canary,
    config_progress,
    configuration,
    earlier,
    last_use,
    listing,
    logs,
    queues,
    reach,
    ui_events,
    usage,
    worker,
)
from proxy_app.accounting import Accounting
from proxy_app.adoption import adopt_survivors
from proxy_app.after_load import remember_load
from proxy_app.configuration_watch import ConfigurationWatch
from proxy_app.database_thread import DatabaseLost, DatabaseThread
from proxy_app.drain import folder as journal_folder
from proxy_app.engine_logs import LogFollower, follow
from proxy_app.errors import NotServing
from proxy_app.events import EventHub, EventStream
from proxy_app.express import Express
from proxy_app.forward import answer_error
from proxy_app.gateway import Gateway
from proxy_app.guards import GuardPool
from proxy_app.guests import Guests
from proxy_app.incoming import ClientLink, Receive, Scope, Send
from proxy_app.journal import Journal
from proxy_app.keys import Caller, Keys, note_use
from proxy_app.ledger import Ledger
from proxy_app.limit_book import LimitBook
from proxy_app.log_files import log_path
from proxy_app.pages_process.desk import PagesProcess
from proxy_app.process import Engine
from proxy_app.reception import Reception
from proxy_app.runner import Runner
from proxy_app.second_look import SecondLook
from proxy_app.standing import Standing
from proxy_app.succession import Succession
from proxy_app.successor import Successor
from proxy_app.telling import Telling

logger = logging.getLogger(__name__)

T = TypeVar("T")

InDatabase = Callable[[Callable[[], Any]], Awaitable[Any]]
Follower = Callable[[InDatabase, Callable[[str, Any], None], Callable[[], bool]], Awaitable[None]]
"""Turns what changes elsewhere into events: told how to read the database
(`DatabaseThread.reread`), how to publish, and how to know whether anybody listens. It runs until it
is cancelled."""

WATCH_SECONDS = 0.3
"""How often the database is asked whether the configuration changed."""

SWEEP_SECONDS = 5.0
"""How often jobs of dead workers are looked for."""

DRAIN_SECONDS = 10.0
"""How long requests in flight may go on when the server stops."""


class Serving(Reception):
    """The server's long-lived parts, and the way in for its apps and pages."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: Runner | None = None
        self._accounting: Accounting | None = None
        self._guards: GuardPool | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.database = Standing("database", "Loaded models are served on; usage is kept in files.")
        self.broker = Standing("broker", "Scans and downloads that are asked for start later.")
        self._database = DatabaseThread(self.database)
        self._ready = asyncio.Event()
        self._served: tuple[int, ConfigDocument] | None = None
        self._reloading = asyncio.Lock()
        self.look_again = SecondLook(self._reload)
        self.runs_worker = True
        self.questions: Mapping[str, Callable[[Runner], Any]] = {}
        """What the pages process may ask; set before `start`."""
        self.pages = PagesProcess(self._answer_page, self._is_answering)
        self.when_absent: Callable[[], None] = _never_mind
        """Called when somebody asks for the engines in a process that has none."""
        self.worker_pids: dict[str, int] = {}
        self.succession: Succession | None = None
        self.on_restart: Callable[[Successor], None] | None = None
        """Both set by a server that another one can follow."""
        self._handed_over = False
        self._guests: Guests | None = None
        self.followers: dict[str, Follower] = {}
        """What other rooms add to the event stream, by name; set before `start`."""
        self.sweeps: list[Callable[[], object]] = [scan_runs.sweep]
        """What takes up the jobs of dead workers; each is called every few seconds."""
        self.hub = EventHub()
        self.hub.tap, self.hub.is_tapped = ui_events.Relay(), ui_events.is_watched
        self.hub.within_reach = self._within_reach
        self.keys = Keys()
        self.book = LimitBook()
        self.gateway: Callable[[Scope, Receive, Send], Awaitable[None]] = _not_serving
        self._express: Express | None = None
        self.telling = Telling(
            self.hub,
            statuses=self._statuses,
            queues=self._queues,
            metrics=lambda: self._accounting.metrics() if self._accounting else [],
            engine_log=self.engine_log,
            may_hear=self._looks_after,
        )
        self.events = EventStream(self.hub, self.telling.first_messages)

    # ---- Start and stop ------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up; returns when requests can be answered."""
        home: Path = settings.CLARACORE_HOME
        self._loop = asyncio.get_running_loop()
        ledger = Ledger(home / "run" / "engines", settings.CLARACORE_NODE)
        self._guards = GuardPool()
        await self._guards.start()
        self._runner = Runner(
            home,
            self._guards,
            ledger,
            self.telling.models_changed,
            self._descend,
            self._remember_load,
            self.telling.queue_changed,
        )
        self._accounting = Accounting(Journal(journal_folder()), self.hub)
        self._accounting.charge = self.book.charge
        self._accounting.on_written = lambda lines: self.keys.leave_to_journal(
            line.key_id for line in lines
        )
        self._accounting.on_unwritten = lambda lines: self.keys.note_used(
            line.key_id for line in lines
        )
        self._accounting.remember(await self._in_database(earlier.newest_metrics))
        self.gateway = gateway = Gateway(
            self._runner,
            home / "uploads",
            self._accounting,
            self.look_again,
            self.book,
            [self.database, self.broker],
        )
        self._express = Express(self._runner, self._accounting, self.book, gateway.go_on)
        self.telling.begin()
        engines_run = await asyncio.to_thread(ledger.any_lives)
        look = partial(configuration.look_at_machine, engines_run=engines_run)
        await self._in_database(look)
        # Quotas begin with what was used before, also in the last second of an earlier run.
        await self._in_database(_take_over_usage)
        await self._reload()
        self._runner.remember_loads(await self._in_database(needs.load_seconds))
        adopted, ended = await adopt_survivors(ledger, self._guards, self._runner)
        if adopted or ended:
            logger.warning("Of an earlier server's engines %d go on, %d ended.", adopted, ended)
        live.register(self)
        if self.runs_worker:
            work = worker.keep_running(self._guards, home, settings.BASE_DIR, self.worker_pids)
            self._keep(work, "worker")
        pages = self.pages.keep(self._guards, home, settings.BASE_DIR, self.worker_pids)
        self._keep(pages, "pages process")
        self._keep(self._watch_configuration(), "configuration watch")
        self._keep(self._sweep(), "sweep")
        if settings.CLARACORE_REDIS_URL:
            from proxy_app import broker_watch  # Loads Redis' client, a tenth of a start.

            self._keep(broker_watch.watch(settings.CLARACORE_REDIS_URL, self.broker), "broker")
        patiently, reread = self._database.run_patiently, self._database.reread
        self._keep(ui_events.follow_scans(reread), "scan events")
        self._keep(config_progress.follow(reread, self.hub), "configuration progress")
        for name, follower in self.followers.items():
            self._keep(self._follow(follower), name)
        trials = canary.follow(
            self._guards, home, reread=reread, in_database=patiently, changed=self._look_again
        )
        self._keep(trials, "trial runs")
        self._keep(self._follow_engine_logs(home / "logs" / "engines"), "engine logs")
        self._preload()
        if self.succession is not None and self.succession.predecessor is not None:
            self._guests = Guests(self._runner, self.succession.predecessor)

    async def stop(self) -> None:
        """Refuse, drain, end the engines and the worker, in this order."""
        self.telling.end()
        live.register(None)
        self.begin_stop()
        if self._guests is not None:
            # Who follows us knows only of us.
            await self._guests.end(wait=self._handed_over)
        if self._runner is not None:
            if not self._handed_over:
                await self._runner.close(DRAIN_SECONDS)
            with suppress(DatabaseError):
                await self._save_last_uses(self._in_database)
        if self._accounting is not None:
            # Before the worker ends, which takes over what it can still see.
            self._accounting.close()
            if used := self.keys.take_used(time.monotonic()):  # Of what is in no journal.
                with suppress(DatabaseError):
                    await self._in_database(partial(note_use, used))
        self.look_again.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._guards is not None:
            await self._guards.aclose()
        self.gateway, self._express = _not_serving, None
        self._runner = None
        self._database.close()

    def take(self, scope: Scope, link: ClientLink) -> bool:
        """Answer a request that needs no task; False when it needs one."""
        return self._express is not None and self._express.take(scope, link)

    def begin_stop(self) -> None:
        """The server is about to stop: streams that never end by themselves end now."""
        self.telling.close()
        ui_events.close()

    async def hand_over(self, successor: Successor) -> None:
        """Leave everything to another server but the requests that engines are answering."""
        assert self._runner is not None
        self._handed_over = True
        live.register(None)
        for task in self._tasks:
            task.cancel()
        await self._runner.hand_over(successor)

    def in_flight(self, *, by_tasks: bool = False) -> int:
        """Our own requests that engines are answering; `by_tasks`: those of them with a task."""
        if self._runner is None:
            return 0
        others = self._guests.count if self._guests else 0
        if by_tasks and self._express is not None:
            others += self._express.under_way
        return self._runner.in_flight() - others

    def cut_off(self) -> None:
        """End the engines now, and with them every request that is still running."""
        if self._runner is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._runner.cut_off)

    # ---- Configuration ---------------------------------------------------------------------

    async def _watch_configuration(self) -> None:
        watch = ConfigurationWatch()
        await self._in_database(watch.look)
        await self._take_over(watch)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                if await self._database.run_patiently(watch.look):
                    await self._take_over(watch)
            except DatabaseLost:
                continue
            except Exception:
                logger.exception("The configuration could not be read; the old one stays.")

    async def _take_over(self, watch: ConfigurationWatch) -> None:
        if watch.is_settled and await self._in_database(hand_edits.take_in):
            ui_events.tell_of_config()
        await self._reload(anew=watch.sees_another_file)
        await self._in_database(watch.done)

    async def _reload(self, *, anew: bool = False) -> tuple[str, ...]:
        """Serve what the database says now; the loaded models that restart for it.

        Nothing is read while nothing changed, unless it shall be read `anew`.
        """
        async with self._reloading:
            known = None if anew or self._served is None else self._served[0]
            reading = await self._in_database(partial(configuration.read, known))
            assert self._runner is not None
            if reading is None:
                return ()
            lineup, self.keys.ring, self._served = reading
            ui_events.tell_of_choices()
            self.accounting.kept = lineup.rules.keeps_usage
            if lineup == self._runner.configured:
                return ()
            logs.set_level(lineup.log_level)
            logger.debug("The configuration holds %d models now.", len(lineup.models))
            return self._runner.apply(lineup)

    async def _descend(self, model: str, reason: str) -> bool:
        """Plan a model smaller that ran out of memory, and put the new plan in place."""
        given_up = await self._in_database(partial(configuration.descend, model, reason))
        if given_up is None:
            return False
        logger.warning("%s is tried again with less: %s", model, given_up)
        await self._reload()
        return True

    async def _remember_load(self, engine: Engine, seconds: float) -> None:
        loads = await remember_load(engine, seconds, self._in_database)
        if loads and self._runner is not None:
            self._runner.measured(engine, needs.of_loads(loads, self._runner.lineup.devices))

    async def _look_again(self) -> None:
        """Go by another engine from now on; loaded models restart with it once they are idle."""
        await self._in_database(configuration.look_at_machine)
        await self._reload()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for sweep in self.sweeps:
                try:
                    await self._database.run_patiently(sweep)
                except Exception:
                    logger.exception("Jobs of dead workers could not be looked for.")
            try:
                if used := self.keys.take_used(time.monotonic()):
                    await self._database.run_patiently(partial(note_use, used))
                await self._save_last_uses(self._database.run_patiently)
            except Exception:
                logger.exception("The use of keys could not be noted.")

    async def _follow(self, follower: Follower) -> None:
        await follower(self._database.reread, self.hub.publish, lambda: self.hub.is_heard)

    async def _save_last_uses(self, ask: InDatabase) -> None:
        assert self._runner is not None
        if used := self._runner.uses.take_unsaved():
            await ask(partial(last_use.save, used))

    def _preload(self) -> None:
        assert self._runner is not None
        for name in self._runner.lineup.preload:
            model = self._runner.lineup.names.get(name)
            if model is not None:
                self._runner.load(model)

    # ---- Pages ----------------------------------------------------------------------------

    def _answer_page(self, name: str) -> Any:
        """What the pages process asks. Raises KeyError for what cannot be told."""
        if self._runner is None:
            raise KeyError(name)
        return self.questions[name](self._runner)

    def _is_answering(self) -> bool:
        return self._accounting is not None and bool(self._accounting.records.live)

    # ---- Events ----------------------------------------------------------------------------

    def _statuses(self) -> list[dict[str, Any]]:
        return listing.statuses(self._runner) if self._runner else []

    def _within_reach(self, caller: Caller, kind: str, value: Any) -> Any:
        return reach.allowed(caller, self.lineup, value) if kind == "modelStatus" else value

    def _looks_after(self, caller: Caller, name: str) -> bool:
        """Whether the model that answers to a name is one that a caller manages."""
        return reach.may_manage(caller, self.lineup, self.lineup.names.get(name, name))

    def _queues(self) -> dict[str, Any]:
        return queues.summary(self._runner) if self._runner else queues.NOTHING

    def engine_log(self, name: str) -> Path | None:
        """The log file of the engine of the model that answers to a name; None without one."""
        model = self.lineup.names.get(name)
        return None if model is None else log_path(settings.CLARACORE_HOME, model)

    async def _follow_engine_logs(self, folder: Path) -> None:
        follower = LogFollower(folder)
        follower.skip_existing()
        await follow(follower, self.telling.engine_log.append)

    # ---- Tasks -----------------------------------------------------------------------------

    async def _in_database(self, work: Callable[[], T]) -> T:
        """Run blocking database work in the one thread kept for it."""
        return await self._database.run(work)

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_report_end)
        self._tasks.append(task)


def _take_over_usage() -> None:
    try:
        usage.drain(journal_folder())
    except (DatabaseError, OSError) as error:
        logger.warning("The newest usage could not be taken over yet: %s", error)


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s stopped working", task.get_name(), exc_info=error)


def _never_mind() -> None:
    return None


async def _not_serving(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_error(send, scope["path"], NotServing())


SERVING = Serving()
"""The one of this process."""
