"""What a load really took beside what was predicted for it. Pure.

The engine touches its compute buffers only with the first long prompt, so right after a load they
are promised but not there yet: their planned size is added to what was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models_app.devices import Device
from models_app.memory import MemoryPlan, Use
from models_app.reasons import size


@dataclass(frozen=True, slots=True)
class Reading:
    """Memory of an engine's processes as the system counts it. Bytes."""

    mapped: int
    """Size of the files that are mapped to be read: the weights."""
    mapped_resident: int
    """How much of `mapped` was in RAM at that moment; the kernel may drop it and read it again."""
    libraries: int
    """Resident pages of programs and libraries."""
    private: int
    """Memory of its own, resident or swapped out: cache, state, copies of weights."""
    gpus: tuple[GpuReading, ...] | None = None
    """None where a GPU's memory cannot be read a process."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What the engine's processes hold on one GPU, by the driver's name for it."""

    name: str
    used: int


@dataclass(frozen=True, slots=True)
class DeviceLoad:
    """Bytes on one device; None is unknown."""

    device: str
    predicted: int | None
    measured: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DeviceLoad:
        return cls(values["device"], values["predicted"], values["measured"])


@dataclass(frozen=True, slots=True)
class Measured:
    """A load that was measured, the CPU's part first, then the GPUs' in the plan's order."""

    devices: tuple[DeviceLoad, ...]
    at: datetime
    load_seconds: float

    @property
    def total(self) -> int:
        """Bytes on all devices; where one could not be read, its prediction stands in."""
        return sum(_first(one.measured, one.predicted) for one in self.devices)

    @property
    def predicted(self) -> int:
        return sum(_first(one.predicted) for one in self.devices)

    @property
    def error(self) -> float:
        """How far off the prediction was: -0.1 is 10 % too low."""
        return self.predicted / self.total - 1 if self.total else 0.0


def sentence(measured: Measured) -> str:
    """When it was measured, and how good the prediction was."""
    percent = f"{abs(measured.error):.1%}".replace("%", " %")
    way = "low" if measured.error < 0 else "high"
    return (
        f"Measured on {measured.at:%Y-%m-%d}: {size(measured.total)}, loaded in "
        f"{measured.load_seconds:.1f} s; predicted was {size(measured.predicted)}, {percent} off "
        f"(too {way})."
    )


def _first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)


def loads_of(
    reading: Reading, memory: MemoryPlan | None = None, devices: Sequence[Device] = ()
) -> tuple[DeviceLoad, ...]:
    """What each device gave up, beside the plan's `memory` for it where there was a plan."""
    if memory is None:
        gpus = reading.gpus or ()
        return (
            DeviceLoad("CPU", None, _ram(reading, None, on_gpus=bool(gpus))),
            *(DeviceLoad(gpu.name, None, gpu.used) for gpu in gpus),
        )
    ram = _ram(reading, memory.cpu, on_gpus=bool(memory.gpus))
    left = list(reading.gpus or ())
    pairs = zip(devices, memory.gpus, strict=True)
    return (
        DeviceLoad("CPU", memory.cpu.total, ram),
        *(DeviceLoad(device.name, use.total, _taken_from(left, device)) for device, use in pairs),
    )


def _ram(reading: Reading, planned: Use | None, *, on_gpus: bool) -> int:
    # Pages of a mapped file that were dropped come back with the next token.
    weights = max(reading.mapped, reading.mapped_resident)
    if on_gpus:
        # The file stays mapped from its first to its last tensor in RAM. What lies between them
        # and was copied to a GPU is never read again: the kernel takes it back when it likes.
        weights = min(weights, planned.weights) if planned else reading.mapped_resident
    compute = planned.compute if planned is not None else 0
    return weights + reading.libraries + reading.private + compute


def _taken_from(left: list[GpuReading], device: Device) -> int | None:
    """The bytes on a device; GPUs of one name are taken in their order."""
    wanted = device.description.lower()
    for one in left:
        name = one.name.lower()
        if name and (name in wanted or wanted in name):
            left.remove(one)
            return one.used
    return None
