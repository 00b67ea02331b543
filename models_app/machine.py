"""What a machine is, as plain values: read once by the engines' owner, kept in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models_app.engine_help import EngineDevice

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor as its driver describes it. Sizes are in bytes."""

    name: str
    vendor: str
    """"nvidia", "amd", "apple", "intel" or "unknown"."""
    total: int
    free: int | None = None
    driver: str = ""
    compute_capability: str = ""
    """NVIDIA only, such as "8.9"."""
    integrated: bool = False
    """Its memory is the machine's own RAM."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor. `usable_cores` is what this process may keep busy at once."""

    name: str
    physical_cores: int
    logical_cores: int
    usable_cores: int
    instruction_sets: tuple[str, ...] = ()
    numa_nodes: int = 1


@dataclass(frozen=True, slots=True)
class Ram:
    """Main memory in bytes, within the limits of the container we run in."""

    total: int
    available: int
    limit: str = ""
    """Who lowered it, such as "cgroup"; empty for the whole machine."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds the server's home. Bytes."""

    path: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that planning needs to know of a machine."""

    platform: str
    """"linux", "darwin" or "windows"."""
    arch: str
    """"amd64", "arm64", …"""
    cpu: Cpu
    ram: Ram
    gpus: tuple[Gpu, ...] = ()
    devices: tuple[EngineDevice, ...] | None = None
    """What the engine sees; None while no engine was asked."""
    disk: Disk | None = None
    problems: tuple[str, ...] = ()
    """What could not be read, in plain words."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Machine:
        """The reverse of `as_dict`, also after a trip through JSON."""
        devices = values.get("devices")
        disk = values.get("disk")
        return cls(
            platform=values["platform"],
            arch=values["arch"],
            cpu=Cpu(
                **{**values["cpu"], "instruction_sets": tuple(values["cpu"]["instruction_sets"])}
            ),
            ram=Ram(**values["ram"]),
            gpus=tuple(Gpu(**gpu) for gpu in values["gpus"]),
            devices=(
                None if devices is None else tuple(EngineDevice.from_dict(one) for one in devices)
            ),
            disk=Disk(**disk) if disk else None,
            problems=tuple(values.get("problems", ())),
        )
