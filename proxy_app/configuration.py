"""What the server takes from the machine and the database, for `serving.py`. All of it blocks."""

from __future__ import annotations

import logging
from pathlib import Path

from models_app import (
    catalog,
    causes,
    changes,
    descent,
    engine_build,
    engine_installs,
    export,
    hardware,
    needs,
    plans,
)
from models_app.document import ConfigDocument
from models_app.hardware.before_engines import with_free_of
from models_app.models import EngineBuild, ServerSettings, VirtualModel
from proxy_app.engine_rules import EngineRules
from proxy_app.key_rows import read_ring
from proxy_app.keys import KeyRing
from proxy_app.lineup import Lineup, QueueRules, line_up
from proxy_app.rules import GatewayRules

logger = logging.getLogger(__name__)


def look_at_machine(*, engines_run: bool = False) -> None:
    """Read what this machine and its engine can do, and store it for everybody.

    With `engines_run` the free memory stays what it was before those engines took theirs.
    """
    with causes.told("the machine or the engine is another one"):
        before = hardware.stored() if engines_run else None
        hardware.store(with_free_of(hardware.detect(_engine()), before))


def _engine() -> engine_build.Located | None:
    located = None
    try:
        located = engine_installs.locate()
        if located is None:
            # What an engine that is gone understood must not be planned with.
            EngineBuild.objects.filter(active=True).update(active=False)
            logger.warning(engine_build.NO_ENGINE_HELP)
        else:
            engine_build.probe(located)
        for build in engine_installs.pinned_builds():
            engine_build.build_of(engine_build.Located(Path(build.path), "a pinned build"))
    except engine_build.EngineProblem as error:
        logger.error("%s", error)
    return located


Reading = tuple[Lineup, KeyRing, tuple[int, ConfigDocument]]
"""What is to be served, who may ask for it, and the configuration with its version."""


def read(known: int | None) -> Reading | None:
    """What the database says; None when that is still the version which is known."""
    version = changes.current_version()
    if version == known:
        return None
    ring = read_ring()
    document = catalog.build()
    export.publish(document, version)
    row = ServerSettings.current()
    context = plans.PlanContext.load()
    devices = needs.gpus(context, engine_installs.pinned_builds())
    rules = QueueRules(
        max_wait=row.max_wait,
        min_residency=row.min_residency,
        length=row.queue_length,
        side_by_side=row.side_by_side,
        memory_wait=row.memory_wait,
        budget=needs.budget(context, devices),
        devices=devices,
    )
    engines = EngineRules(row.adopt_wait, tuple(row.start_pauses))
    lineup = line_up(document, rules, engines, GatewayRules.of(row), VirtualModel.all_members())
    return lineup, ring, (version, document)


def descend(model: str, reason: str) -> str | None:
    """Plan a model smaller that ran out of memory; what it gave up, None when nothing is left."""
    with causes.told(f"{model} ran out of memory"):
        return descent.descend(model, reason)
