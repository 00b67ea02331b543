"""A small server: owns one engine, brings it into a state and stays there. For killing.

    python -m tests.engine_host FOLDER starting|ready|stopping COMMAND…

Prints each state as it comes, and goes on until it is killed or its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineSpec, EngineStartFailed, EngineState
from tests.processes import ROOT

PATIENCE = 600.0


def tell(engine: Engine, old: EngineState, new: EngineState) -> None:
    print(new, flush=True)


async def host(folder: Path, state: EngineState, argv: tuple[str, ...]) -> None:
    guards = GuardPool()
    await guards.start()
    spec = EngineSpec(
        model_id="fox",
        argv=argv,
        log_path=folder / "engine.log",
        working_directory=ROOT,
        start_timeout=PATIENCE,
        stop_grace=0.3,
    )
    engine = Engine(
        spec, guards=guards, ports=PortPool(23_000), ledger=Ledger(folder), on_change=tell
    )
    engine.start()
    if state is not EngineState.STARTING:
        try:
            await engine.ensure_ready()
        except EngineStartFailed:
            return
    stopping = asyncio.create_task(engine.stop(PATIENCE)) if state is EngineState.STOPPING else None
    await asyncio.to_thread(sys.stdin.read)
    if stopping is not None:
        stopping.cancel()
    await guards.aclose(0.3)


if __name__ == "__main__":
    uvloop.run(host(Path(sys.argv[1]), EngineState(sys.argv[2]), tuple(sys.argv[3:])))
