"""How much memory each model takes of each device, and how much there is: numbers to share it by.

Devices go by the engine's names; RAM is "CPU". Memory that a GPU shares with the processor is RAM.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from models_app.devices import Device, resources
from models_app.document import MemoryNeed
from models_app.measured import DeviceLoad, Measured
from models_app.models import LoadRecord, ServedModel
from models_app.plans import PlanContext
from models_app.tuning import Plan

RAM = "CPU"
NEWEST_LOADS = 5
"""Of so many loads the middle one counts."""


def budget(context: PlanContext) -> dict[str, int]:
    """What all engines together may take of each device: what plans are made for. Bytes."""
    found = resources(context.machine, context.preferences)
    return {RAM: found.ram, **{gpu.name: gpu.budget for gpu in found.gpus if not gpu.shared}}


def gpus(context: PlanContext) -> tuple[Device, ...]:
    """The GPUs that have memory of their own."""
    found = resources(context.machine, context.preferences)
    return tuple(gpu for gpu in found.gpus if not gpu.shared)


def of_plan(plan: Plan) -> MemoryNeed:
    """What a model takes that is started by this plan."""
    uses = [(gpu, use.total) for gpu, use in zip(plan.devices, plan.memory.gpus, strict=True)]
    return MemoryNeed(
        planned=_per_device(plan.memory.cpu.total, uses),
        measured=_measured(plan.measured, plan.devices) if plan.measured else None,
        mapped=plan.memory.cpu.weights,
    )


def of_loads(loads: Iterable[DeviceLoad], devices: Sequence[Device]) -> dict[str, int]:
    """What was measured when a model was loaded. `devices` are all GPUs that a plan may use."""
    needs: dict[str, int] = {}
    for one in loads:
        size = one.predicted if one.measured is None else one.measured
        name = _own_name(one.device, devices)
        needs[name] = needs.get(name, 0) + (size or 0)
    return needs


def load_seconds() -> dict[str, float]:
    """How long each model took to load lately, by its id."""
    by_file: dict[int, list[float]] = {}
    for file, seconds in LoadRecord.objects.values_list("file_id", "load_seconds"):
        by_file.setdefault(file, []).append(seconds)  # the newest first
    middle = {file: statistics.median(all_[:NEWEST_LOADS]) for file, all_ in by_file.items()}
    models = ServedModel.objects.values_list("model_id", "file_id")
    return {model: middle[file] for model, file in models if file in middle}


def _measured(measured: Measured, devices: Sequence[Device]) -> dict[str, int]:
    sizes = [
        (one.predicted if one.measured is None else one.measured) or 0 for one in measured.devices
    ]
    return _per_device(sizes[0], zip(devices, sizes[1:], strict=True))


def _per_device(ram: int, uses: Iterable[tuple[Device, int]]) -> dict[str, int]:
    needs = {RAM: ram}
    for gpu, size in uses:
        name = RAM if gpu.shared else gpu.name
        needs[name] = needs.get(name, 0) + size
    return needs


def _own_name(name: str, devices: Sequence[Device]) -> str:
    """The engine's name for a device that the driver calls something else."""
    if name == RAM or any(name == device.name for device in devices):
        return name
    called = name.lower()
    for device in devices:
        description = device.description.lower()
        if called and (called in description or description in called):
            return RAM if device.shared else device.name
    return name
