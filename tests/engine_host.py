"""A small server: owns one engine, brings it into a state and stays there. For killing.

    python -m tests.engine_host FOLDER starting|ready|stopping|adopting WAIT COMMAND…

WAIT is how many seconds a ready engine outlives it. When adopting it takes over what an earlier
one left, and starts nothing. Prints each state as it comes, and goes on until it is killed or its
input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from proxy_app.adoption import adopt_survivors
from proxy_app.guards import GuardedProcess, GuardPool
from proxy_app.ledger import Entry, Ledger
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineSpec, EngineStartFailed, EngineState
from tests.processes import ROOT

PATIENCE = 600.0
ADOPTING = "adopting"


def tell(engine: Engine, old: EngineState, new: EngineState) -> None:
    print(new, flush=True)


class Host:
    def __init__(self, folder: Path, wait: float, argv: tuple[str, ...]) -> None:
        self.guards = GuardPool()
        self.ledger = Ledger(folder)
        self.spec = EngineSpec(
            model_id="fox",
            argv=argv,
            log_path=folder / "engine.log",
            working_directory=ROOT,
            start_timeout=PATIENCE,
            stop_grace=0.3,
            adopt_wait=wait,
            fingerprint="the same",
        )
        self.engine = Engine(
            self.spec,
            guards=self.guards,
            ports=PortPool(23_000),
            ledger=self.ledger,
            on_change=tell,
        )

    def spec_to_adopt(self, entry: Entry) -> EngineSpec | None:
        return self.spec if entry.fingerprint == self.spec.fingerprint else None

    def adopt(self, spec: EngineSpec, entry: Entry, process: GuardedProcess) -> bool:
        self.engine.adopt(entry, process)
        return True

    async def run(self, state: str) -> None:
        await self.guards.start()
        stopping = None
        if state == ADOPTING:
            print(*await adopt_survivors(self.ledger, self.guards, self), flush=True)
        else:
            self.engine.start()
            if state != EngineState.STARTING:
                try:
                    await self.engine.ensure_ready()
                except EngineStartFailed:
                    return
            if state == EngineState.STOPPING:
                stopping = asyncio.create_task(self.engine.stop(PATIENCE))
        await asyncio.to_thread(sys.stdin.read)
        if stopping is not None:
            stopping.cancel()
        await self.guards.aclose(0.3)


if __name__ == "__main__":
    uvloop.run(Host(Path(sys.argv[1]), float(sys.argv[3]), tuple(sys.argv[4:])).run(sys.argv[2]))
