"""The Celery worker as a child of the server, started again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from proxy_app.guard_channel import Exit
from proxy_app.guards import GuardPool, LaunchFailed

logger = logging.getLogger(__name__)

THREADS = 10
"""Two for scans beside the eight that downloads may take, so that neither waits for the other."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
STEADY_SECONDS = 60.0
"""A worker that ran this long is no longer counted as failing."""


def command() -> list[str]:
    """The worker's argv."""
    return [
        sys.executable,
        "-m",
        "celery",
        "--app=claracore_site",
        "worker",
        "--pool=threads",
        f"--concurrency={THREADS}",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel=WARNING",
    ]


async def keep_running(
    guards: GuardPool, home: Path, working_directory: Path, pids: dict[str, int]
) -> None:
    """Run the worker until cancelled; it then ends with this task. `pids` names it meanwhile."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = asyncio.get_running_loop().time()
        try:
            ended: object = await _run(guards, home, working_directory, pids)
        except (LaunchFailed, OSError) as error:
            ended = error
        if asyncio.get_running_loop().time() - started > STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        logger.error(
            "The background worker ended (%s); it is started again in %.0f s. See %s.",
            ended,
            pause,
            home / "logs" / "worker.log",
        )
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _run(
    guards: GuardPool, home: Path, working_directory: Path, pids: dict[str, int]
) -> Exit:
    """One worker from its start to its end, which cancelling brings about."""
    worker = await guards.launch(
        argv=command(),
        env=dict(os.environ),
        cwd=working_directory,
        log=home / "logs" / "worker.log",
    )
    pids["worker"] = worker.pid
    try:
        return await worker.wait()
    except asyncio.CancelledError:
        await asyncio.shield(worker.stop(grace=2.0))
        raise
    finally:
        del pids["worker"]
