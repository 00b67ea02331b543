"""GPUs that only the engine tells us about: Intel's, and those of drivers we have no reader for."""

from __future__ import annotations

from collections.abc import Sequence

from models_app.engine_help import EngineDevice
from models_app.machine import Gpu

_VENDORS = {
    "nvidia": ("nvidia", "geforce", "quadro", "tesla"),
    "amd": ("amd", "radeon", "instinct"),
    "intel": ("intel", "arc(tm)"),
    "apple": ("apple",),
}


def read(devices: Sequence[EngineDevice], known: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The devices of the engine that no reader has described yet."""
    vendors = {gpu.vendor for gpu in known}
    found = []
    for device in devices:
        vendor = vendor_of(device.description)
        if device.is_software or vendor in vendors:
            continue
        found.append(
            Gpu(
                name=device.description,
                vendor=vendor,
                total=device.total,
                free=device.free,
                integrated=device.integrated,
            )
        )
    return tuple(found)


def vendor_of(description: str) -> str:
    """Who makes a device of this description; "unknown" when it does not tell."""
    words = description.lower()
    for vendor, names in _VENDORS.items():
        if any(name in words for name in names):
            return vendor
    return "unknown"
