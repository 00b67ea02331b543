"""Takes in how a load went: what the engine has taken, beside what was planned for it."""

from __future__ import annotations

from collections.abc import Sequence

from models_app import learned, plans
from models_app.command import command_line
from models_app.measured import Reading, loads_of
from models_app.models import LoadRecord
from models_app.tuning import Plan


def learn(
    model_id: str, argv: Sequence[str], reading: Reading | None, seconds: float
) -> LoadRecord | None:
    """Remember a load of the model that was started with `argv` and took `seconds`.

    `reading` is None where memory cannot be read. Of a command that is not the planned one, such
    as one set by hand, only what was read is kept: there is no prediction to compare it with.
    None when the model or its file is gone.
    """
    model = plans.find_model(model_id)
    if model is None or model.file is None:
        return None
    context = plans.PlanContext.load().of(model)
    candidate = plans.candidate_of(model)
    plan: Plan = plans.plan_for(model, context)
    key = plans.key_of(plan, model.file, candidate, context)
    options = learned.options_of(argv)
    planned = not model.cmd.strip() and key.options == options and argv[0] == context.binary
    if not planned:
        processor = context.machine.cpu.name
        key = learned.Key(key.contents, options, learned.device_of(processor))
    devices = None
    if reading is not None:
        devices = loads_of(reading, plan.memory, plan.devices) if planned else loads_of(reading)
    build = learned.Build.of_binary(argv[0])
    return learned.record(model.file, key, build, command_line(argv), devices, seconds)
