"""What a run of an engine takes and gives back: a guard's child, a port, a line in the ledger."""

from __future__ import annotations

import logging
import os

from models_app.engine_environment import engine_environment
from proxy_app.engine_run import Run
from proxy_app.engine_spec import EngineSpec
from proxy_app.guards import GuardedProcess, GuardPool
from proxy_app.ledger import Entry, Ledger
from proxy_app.ports import PortPool

logger = logging.getLogger(__name__)


class Launcher:
    """Launches the runs of one engine."""

    def __init__(
        self, spec: EngineSpec, guards: GuardPool, ports: PortPool, ledger: Ledger
    ) -> None:
        self._spec = spec
        self._guards = guards
        self._ports = ports
        self._ledger = ledger

    async def launch(self, run: Run) -> GuardedProcess:
        """Raises LaunchFailed and NoFreePort."""
        spec = self._spec
        if spec.wants_port:
            run.port = self._ports.acquire(spec.start_port)
        return await self._guards.launch(
            spec.argv_on(run.port),
            env=self._environment(run),
            cwd=spec.working_directory,
            log=spec.log_path,
            log_bytes=spec.log_bytes,
            grace=spec.stop_grace,
            stop_argv=spec.stop_argv_on(run.port),
            folder=self._ledger.folder,
        )

    def _environment(self, run: Run) -> dict[str, str]:
        return engine_environment(os.environ, self._spec.env_on(run.port))

    def record(self, run: Run, process: GuardedProcess, *, ready: bool) -> None:
        """Enter it in the ledger; one that cannot be written is no reason not to serve."""
        spec = self._spec
        entry = Entry(
            model_id=spec.model_id,
            pid=process.pid,
            start_time=process.start_time,
            argv=spec.argv_on(run.port),
            port=run.port,
            guard_pid=process.guard_pid,
            token=process.token,
            ready=ready,
            fingerprint=spec.fingerprint,
            api_key=spec.api_key,
            stop_argv=spec.stop_argv_on(run.port),
            stop_env=self._environment(run) if spec.stop_argv else {},
            node=self._ledger.node,
        )
        try:
            self._ledger.record(entry)
            run.entry = entry
        except OSError as error:
            # Its guard still knows it; only a guard killed together with us would lose it.
            logger.error("%s could not be entered in the ledger: %s", spec.model_id, error)

    def keep(self, run: Run, process: GuardedProcess, wait: float) -> None:
        """From now on another server may take it over, for `wait` seconds after this one."""
        self.record(run, process, ready=True)
        process.keep(wait if run.entry is not None and run.entry.ready else 0)

    def take_over(self, run: Run, entry: Entry) -> None:
        """Hold for the run what an earlier server held for it."""
        run.entry, run.port = entry, entry.port
        if entry.port is not None:
            self._ports.hold(entry.port)

    def give_back(self, run: Run) -> None:
        if run.port is not None:
            self._ports.release(run.port)
        if run.entry is not None:
            try:
                self._ledger.forget(run.entry)
            except OSError as error:
                logger.error(
                    "%s could not be removed from the ledger: %s", self._spec.model_id, error
                )
