"""How much memory each model takes of each device, and how much there is: numbers to share it by.

Devices go by the names of the build in use; RAM is "CPU". Memory that a GPU shares with the
processor is RAM. A model that is pinned to another build takes of the same devices: what that build
calls otherwise is told under our names, and what only that build sees counts beside.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from models_app.devices import Device, resources
from models_app.document import MemoryNeed
from models_app.measured import DeviceLoad, Measured
from models_app.models import EngineBuild, LoadRecord, ServedModel
from models_app.plans import PlanContext
from models_app.same_devices import same_devices
from models_app.tuning import Plan

RAM = "CPU"
NEWEST_LOADS = 5
"""Of so many loads the middle one counts."""


def budget(context: PlanContext, devices: Iterable[Device]) -> dict[str, int]:
    """What all engines together may take of each device: what plans are made for. Bytes."""
    found = resources(context.machine, context.preferences)
    return {RAM: found.ram, **{gpu.name: gpu.budget for gpu in devices}}


def gpus(context: PlanContext, pinned: Iterable[EngineBuild] = ()) -> tuple[Device, ...]:
    """The GPUs that have memory of their own, as the build in use and `pinned` ones see them."""
    found = list(_own_memory(context))
    for build in pinned:
        theirs = _own_memory(context.of_build(build))
        names = same_devices(theirs, found)
        called = {ours: name for name, ours in names.items()}
        found = [_also_called(device, called.get(device.name)) for device in found]
        taken = {device.name for device in found}
        # One that has the name of another device cannot be told from it.
        found += [one for one in theirs if one.name not in names and one.name not in taken]
    return tuple(found)


def of_plan(plan: Plan, devices: Sequence[Device] = ()) -> MemoryNeed:
    """What a model takes that is started by this plan. `devices` are `gpus`."""
    uses = [(gpu, use.total) for gpu, use in zip(plan.devices, plan.memory.gpus, strict=True)]
    return MemoryNeed(
        planned=_per_device(plan.memory.cpu.total, uses, devices),
        measured=_measured(plan.measured, plan.devices, devices) if plan.measured else None,
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


def _own_memory(context: PlanContext) -> tuple[Device, ...]:
    found = resources(context.machine, context.preferences)
    return tuple(gpu for gpu in found.gpus if not gpu.shared)


def _also_called(device: Device, name: str | None) -> Device:
    if name is None or name in (device.name, *device.also_called):
        return device
    return replace(device, also_called=(*device.also_called, name))


def _measured(
    measured: Measured, used: Sequence[Device], devices: Sequence[Device]
) -> dict[str, int]:
    sizes = [
        (one.predicted if one.measured is None else one.measured) or 0 for one in measured.devices
    ]
    return _per_device(sizes[0], zip(used, sizes[1:], strict=True), devices)


def _per_device(
    ram: int, uses: Iterable[tuple[Device, int]], devices: Sequence[Device]
) -> dict[str, int]:
    needs = {RAM: ram}
    for gpu, size in uses:
        name = RAM if gpu.shared else _own_name(gpu.name, devices)
        needs[name] = needs.get(name, 0) + size
    return needs


def _own_name(name: str, devices: Sequence[Device]) -> str:
    """Our name for a device that the driver or another build calls something else."""
    if name == RAM or any(name == device.name for device in devices):
        return name
    for device in devices:
        if name in device.also_called:
            return device.name
    called = name.lower()
    for device in devices:
        description = device.description.lower()
        if called and (called in description or description in called):
            return RAM if device.shared else device.name
    return name
