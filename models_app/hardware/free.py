"""How much memory is free at this moment, by the engine's names for devices."""

from __future__ import annotations

from collections.abc import Sequence

from models_app.devices import Device
from models_app.hardware import amd, nvidia, ram
from models_app.machine import Gpu

RAM = "CPU"


def read(devices: Sequence[Device] = ()) -> dict[str, int]:
    """Free bytes of RAM and of each of `devices`; one that cannot be read is left out.

    Without devices it takes about a millisecond; drivers may take longer.
    """
    free = {RAM: ram.read().available}
    if devices:
        free |= match(devices, [*nvidia.read(), *amd.read_cards(amd.CARDS)])
    return free


def match(devices: Sequence[Device], gpus: Sequence[Gpu]) -> dict[str, int]:
    """What the drivers say, under the engine's names; GPUs of one name are taken in order."""
    left = [gpu for gpu in gpus if gpu.free is not None]
    free = {}
    for device in devices:
        called = device.description.lower()
        for gpu in left:
            if gpu.name.lower() in called or called in gpu.name.lower():
                free[device.name] = gpu.free or 0
                left.remove(gpu)
                break
    return free
