"""Which devices a plan may use, and how much memory on each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from models_app import gpu_choice
from models_app.engine_help import EngineDevice
from models_app.machine import GIB, Gpu, Machine
from models_app.preferences import GPU_BACKENDS, Preferences

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU under the engine's name for it. Bytes."""

    name: str
    description: str
    total: int
    free: int
    shared: bool = False
    """Its memory is RAM."""
    cap: int | None = None
    """The most that may be planned with, learned from a start that failed."""
    also_called: tuple[str, ...] = ()
    """Other builds' names for it."""

    @property
    def budget(self) -> int:
        """What we plan with: the driver, the desktop and our own error get the rest."""
        room = max(0, min(self.free, self.total) - gpu_margin(self.total))
        return room if self.cap is None else min(room, self.cap)


@dataclass(frozen=True, slots=True)
class Caps:
    """The most bytes a plan may take of RAM and of each GPU, by the engine's name for it."""

    ram: int
    gpus: Mapping[str, int] = field(default_factory=dict)
    why: str = "A start ran out of memory, so this plan takes less than that."

    def to_json(self) -> dict[str, Any]:
        """Plain values, to be remembered."""
        return {"ram": self.ram, "gpus": dict(self.gpus)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Caps:
        return cls(ram=values["ram"], gpus=dict(values["gpus"]))


@dataclass(frozen=True, slots=True)
class Resources:
    """What may be planned with, and what should be said about it."""

    gpus: tuple[Device, ...]
    ram: int
    """Bytes for engines, the margin taken off."""
    ram_total: int
    cores: int
    notes: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    """The engine's names of all devices it would use if nobody said otherwise."""

    @property
    def leaves_out(self) -> bool:
        """Whether the engine has to be told which devices are meant."""
        return bool(set(self.seen) - {gpu.name for gpu in self.gpus})

    def within(self, caps: Caps) -> Resources:
        """The same machine with less memory to plan with."""
        gpus = tuple(replace(gpu, cap=caps.gpus.get(gpu.name)) for gpu in self.gpus)
        return replace(
            self,
            gpus=gpus,
            ram=min(self.ram, caps.ram),
            notes=(*self.notes, caps.why),
        )


def gpu_margin(total: int) -> int:
    """Bytes left alone on a GPU: 512 MiB and 4 %."""
    return 512 * MIB + total // 25


def ram_margin(total: int) -> int:
    """Bytes of RAM left to the system: an eighth, at least 1 GiB."""
    return max(GIB, total // 8)


def resources(machine: Machine, preferences: Preferences, chosen: Sequence[str] = ()) -> Resources:
    """The machine as the preferences want it to be used, on the `chosen` GPUs alone if any are."""
    notes: list[str] = []
    ram_total = machine.ram.total
    if preferences.ram is not None:
        ram_total = preferences.ram
        notes.append(f"RAM was set to {ram_total / GIB:.1f} GiB by hand.")
    return Resources(
        gpus=_gpus(machine, preferences, chosen, notes),
        ram=max(0, ram_total - ram_margin(ram_total)),
        ram_total=ram_total,
        cores=machine.cpu.usable_cores,
        notes=tuple(notes),
        seen=tuple(one.name for one in machine.devices or ()),
    )


def choosable(machine: Machine, preferences: Preferences) -> tuple[Device, ...]:
    """The GPUs that a model can be bound to, in the order of their numbers."""
    return _seen(machine, preferences, [])


def _gpus(
    machine: Machine, preferences: Preferences, chosen: Sequence[str], notes: list[str]
) -> tuple[Device, ...]:
    if preferences.backend == "cpu":
        notes.append("The backend was set to CPU by hand; GPUs are left alone.")
        return ()
    if preferences.vram == 0:
        notes.append("VRAM was set to 0 by hand; GPUs are left alone.")
        return ()
    seen = _seen(machine, preferences, notes)
    # A small integrated GPU would slow a real one down.
    devices = tuple(one for one in seen if not one.shared) or seen
    names = {one.name for one in _chosen(seen, chosen, notes)}
    if not names <= {one.name for one in devices}:
        devices = seen
    if preferences.vram is not None:
        note = f"VRAM was set to {preferences.vram / GIB:.1f} GiB by hand"
        notes.append(f"{note}." if devices else f"{note}, but there is no GPU to use it on.")
        devices = _resized(devices, preferences.vram)
    return tuple(one for one in devices if one.name in names) if names else devices


def _chosen(seen: tuple[Device, ...], words: Sequence[str], notes: list[str]) -> tuple[Device, ...]:
    """The GPUs that a person chose. None of what is chosen may be there: a card was taken out."""
    found = gpu_choice.those(words, seen)
    if gone := gpu_choice.missing(words, seen):
        chosen = "the others that were chosen are used" if found else "the choice does not act"
        notes.append(
            f"{' and '.join(gone)} was chosen by hand, but there is no such GPU; {chosen}. "
            f"{gpu_choice.there(seen)}"
        )
    if found:
        notes.append(
            f"{' and '.join(one.name for one in found)} was chosen by hand for this model; other "
            f"GPUs are left alone."
        )
    return found


def _seen(machine: Machine, preferences: Preferences, notes: list[str]) -> tuple[Device, ...]:
    if machine.devices is None:
        return _wished(machine, preferences, notes)
    usable = [one for one in machine.devices if not one.is_software]
    wanted = [one for one in usable if one.backend == preferences.backend]
    if preferences.backend in GPU_BACKENDS and not wanted:
        notes.append(
            f"The backend was set to {preferences.backend} by hand, but this llama-server sees "
            f"no such device."
        )
    usable = _without_doubles(wanted or usable)
    if machine.gpus and not usable:
        names = ", ".join(gpu.name for gpu in machine.gpus)
        notes.append(f"This llama-server sees no GPU, though the machine has one ({names}).")
    return tuple(_device(one, machine.gpus) for one in usable)


def _without_doubles(devices: Sequence[EngineDevice]) -> list[EngineDevice]:
    """A build with two backends lists each GPU twice; only the first backend's devices count."""
    return [one for one in devices if one.backend == devices[0].backend]


def _wished(machine: Machine, preferences: Preferences, notes: list[str]) -> tuple[Device, ...]:
    """Without an engine to ask: the GPUs that the drivers show, or one made up of wishes."""
    devices = tuple(
        Device(f"GPU{number}", gpu.name, gpu.total, gpu.free or gpu.total, gpu.integrated)
        for number, gpu in enumerate(machine.gpus)
    )
    if devices or preferences.vram is None:
        return devices
    return (Device("GPU0", "as set by hand", preferences.vram, preferences.vram),)


def _device(seen: EngineDevice, gpus: Sequence[Gpu]) -> Device:
    """The engine's device, with what the driver knows of it."""
    known = next((gpu for gpu in gpus if _same(gpu, seen)), None)
    shared = seen.integrated or (known is not None and known.integrated)
    return Device(seen.name, seen.description, seen.total, seen.free, shared)


def _same(gpu: Gpu, seen: EngineDevice) -> bool:
    ours, theirs = gpu.name.lower(), seen.description.lower()
    return ours in theirs or theirs in ours


def _resized(devices: tuple[Device, ...], vram: int) -> tuple[Device, ...]:
    """The same devices with `vram` bytes over all of them, shared out as before."""
    total = sum(one.total for one in devices)
    return tuple(
        replace(one, total=vram * one.total // total, free=vram * one.total // total)
        for one in devices
    )
