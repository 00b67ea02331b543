"""What a model keeps to since its engine ran out of memory: the rung of the load ladder.

The rung is remembered on the model's row, so the next start does not fail first. It holds for the
machine it was found on: with more memory, or other GPUs, everything is tried again.
"""

from __future__ import annotations

from models_app.devices import Caps
from models_app.machine import Machine
from models_app.models import ServedModel

MOST_STEPS = 12
"""Down to a seventh of what was planned first; an engine that needs less does not lack memory."""


def caps_of(model: ServedModel, machine: Machine) -> Caps | None:
    """The caps that the model's plans keep to; None when none are remembered for this machine."""
    if not model.rung or model.rung.get("machine") != _machine(machine):
        return None
    return Caps.from_json(model.rung["caps"])


def steps_of(model: ServedModel, machine: Machine) -> int:
    """How many steps down the model stands on this machine."""
    return int(model.rung["steps"]) if caps_of(model, machine) is not None else 0


def remember(model: ServedModel, machine: Machine, caps: Caps, reason: str) -> None:
    """One step further down, because of `reason`. Writes only the rung."""
    model.rung = {
        "caps": caps.to_json(),
        "steps": steps_of(model, machine) + 1,
        "reason": reason,
        "machine": _machine(machine),
    }
    ServedModel.objects.filter(pk=model.pk).update(rung=model.rung)


def _machine(machine: Machine) -> list[object]:
    """What tells this machine's memory from another's; plain, since it is stored as JSON."""
    return [machine.ram.total, *(f"{gpu.name} {gpu.total}" for gpu in machine.gpus)]
