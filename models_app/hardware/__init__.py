"""What this machine is: readers for each vendor, and the row that other processes read.

Only the process that owns the engines reads the machine: a worker in a container of its own has
no GPU and other limits.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from django.conf import settings

from models_app.engine_build import EngineProblem, Located, list_devices
from models_app.engine_help import EngineDevice
from models_app.hardware import amd, apple, cpu, disk, nvidia, others, ram
from models_app.machine import GIB, Cpu, Disk, Gpu, Machine, Ram
from models_app.models import MachineReport
from models_app.nodes import this_node

__all__ = ["GIB", "Cpu", "Disk", "Gpu", "Machine", "Ram", "current", "detect", "store", "stored"]

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


def detect(located: Located | None = None) -> Machine:
    """Read this machine now. With an engine it is asked too which devices it sees.

    What cannot be read ends up in `problems`; the rest is still there.
    """
    devices: tuple[EngineDevice, ...] | None = None
    problems: list[str] = []
    if located is not None:
        try:
            devices = list_devices(located)
        except EngineProblem as error:
            problems.append(str(error))
    memory = ram.read()
    gpus = (*nvidia.read(), *amd.read(), *apple.read(memory))
    machine = platform.machine()
    return Machine(
        platform=platform.system().lower(),
        arch=_ARCHITECTURES.get(machine, machine),
        cpu=cpu.read(),
        ram=memory,
        gpus=(*gpus, *others.read(devices or (), gpus)),
        devices=devices,
        disk=disk.read(Path(settings.CLARACORE_HOME)),
        problems=tuple(problems),
    )


def store(machine: Machine) -> None:
    """Keep it as what every process of this server goes by."""
    MachineReport.objects.update_or_create(node=this_node(), defaults={"facts": machine.as_dict()})


def stored() -> Machine | None:
    """What the engines' owner last stored; None before its first start."""
    report = MachineReport.objects.first()
    return Machine.from_dict(report.facts) if report else None


def current() -> Machine:
    """The stored machine with what is free at this moment, as far as this process can see it."""
    machine = stored()
    if machine is None:
        return detect()
    memory = ram.read()
    if memory.total != machine.ram.total:
        return machine  # this process runs in a box of its own, beside the engines' owner
    # Told apart by size: names of AMD cards cost a program's run, too much for every request.
    now = [*nvidia.read(), *amd.read_cards(amd.CARDS)]
    gpus = tuple(replace(gpu, free=_free_now(gpu, now)) for gpu in machine.gpus)
    place = disk.read(Path(settings.CLARACORE_HOME))
    return replace(machine, ram=memory, gpus=gpus, disk=place)


def _free_now(gpu: Gpu, now: list[Gpu]) -> int | None:
    """What is free on `gpu`; of several alike, each is taken from `now` once."""
    for seen in now:
        if (seen.vendor, seen.total) == (gpu.vendor, gpu.total):
            now.remove(seen)
            return seen.free
    return gpu.free
