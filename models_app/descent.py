"""Down the load ladder: a model whose engine ran out of memory is planned smaller, for good."""

from __future__ import annotations

from models_app import plans, rungs
from models_app.devices import MIB
from models_app.ladder import step_down
from models_app.reasons import size
from models_app.tuning import Plan


def descend(model_id: str, reason: str) -> str | None:
    """Plan a model smaller after its engine ran out of memory, and remember that.

    Returns what is different now, in words; None when the model's command is a person's own or
    nothing is left to give up.
    """
    model = plans.find_model(model_id)
    if model is None or model.cmd or model.file is None:
        return None
    context = plans.PlanContext.load().of(model)
    if rungs.steps_of(model, context.machine) >= rungs.MOST_STEPS:
        return None
    failed = plans.plan_for(model, context)
    step = step_down(
        failed,
        plans.candidate_of(model),
        context.machine,
        context.preferences,
        plans.choices_of(model),
        context.flags,
    )
    if step is None:
        return None
    smaller, caps = step
    rungs.remember(model, context.machine, caps, reason)
    return difference(failed, smaller)


def difference(before: Plan, after: Plan) -> str:
    """What a smaller plan gave up, in words and numbers."""
    old, new = before.options, after.options
    values = (
        ("context", before.context_per_request, after.context_per_request),
        ("KV cache", old.cache_type_k or "f16", new.cache_type_k or "f16"),
        ("GPU layers", before.placement.offloaded, after.placement.offloaded),
        ("expert layers on the CPU", old.cpu_expert_layers or 0, new.cpu_expert_layers or 0),
        ("copies of weights", size(before.memory.cpu.repacked), size(after.memory.cpu.repacked)),
    )
    parts = [f"{name} {was} -> {now}" for name, was, now in values if was != now]
    mebibytes = (before.memory.total // MIB, after.memory.total // MIB)
    return ", ".join(parts) + f" (planned {mebibytes[0]} -> {mebibytes[1]} MiB)"
