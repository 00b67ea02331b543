"""Free GPU memory as it was before engines of ours took theirs. Pure.

A server that follows another one finds its engines loaded. Were plans made for what they leave
free, they would get smaller, and the engines that were just kept be restarted for it.
"""

from __future__ import annotations

from dataclasses import replace

from models_app.engine_help import EngineDevice
from models_app.machine import Gpu, Machine


def with_free_of(now: Machine, before: Machine | None) -> Machine:
    """The machine as read now, each GPU with what was free of the same one before."""
    if before is None:
        return now
    devices = now.devices
    if devices is not None:
        devices = tuple(_device(device, before.devices or ()) for device in devices)
    gpus, left = [], list(before.gpus)
    for gpu in now.gpus:
        same = next((one for one in left if _is_same(one, gpu)), None)
        if same is not None:
            left.remove(same)  # GPUs of one kind are told apart by their order alone.
            gpu = replace(gpu, free=same.free)
        gpus.append(gpu)
    return replace(now, gpus=tuple(gpus), devices=devices)


def _is_same(one: Gpu, other: Gpu) -> bool:
    return (one.vendor, one.name, one.total) == (other.vendor, other.name, other.total)


def _device(device: EngineDevice, before: tuple[EngineDevice, ...]) -> EngineDevice:
    for one in before:
        if (one.name, one.description, one.total) == (
            device.name,
            device.description,
            device.total,
        ):
            return replace(device, free=one.free)
    return device
