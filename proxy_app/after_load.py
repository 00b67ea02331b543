"""What follows a load: measure what the engine took, and remember it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from models_app.learning import learn
from models_app.measured import DeviceLoad, loads_of
from models_app.models import LoadRecord
from proxy_app.measure import measure
from proxy_app.process import Engine

InDatabase = Callable[[Callable[[], LoadRecord | None]], Awaitable[LoadRecord | None]]
"""Runs blocking database work where it may block."""


async def remember_load(
    engine: Engine, seconds: float, in_database: InDatabase
) -> tuple[DeviceLoad, ...]:
    """Measure an engine that has just become ready, and record the load. `seconds` it took.

    Returns what each device gave up; nothing where that cannot be told. An engine that ends
    meanwhile is not recorded: half of it may have been gone. Nor is one whose model has no file.
    """
    pid, argv, model = engine.pid, engine.spec.argv, engine.spec.model_id
    if pid is None:
        return ()
    reading = await asyncio.to_thread(measure, pid)
    if engine.pid != pid:
        return ()
    record = await in_database(partial(learn, model, argv, reading, seconds))
    if record is not None:
        known = record.measured is not None
        return tuple(DeviceLoad.from_json(one) for one in record.devices) if known else ()
    # What has a stop command works elsewhere, in a container for example: here it seems tiny.
    return loads_of(reading) if reading is not None and not engine.spec.stop_argv else ()
