"""Apple's GPUs, which share the machine's memory."""

from __future__ import annotations

import json
import platform

from models_app.hardware.run import output_of
from models_app.machine import GIB, Gpu, Ram

_SMALL_MACHINE = 32 * GIB


def read(ram: Ram) -> tuple[Gpu, ...]:
    """The GPU of an Apple processor; none elsewhere."""
    if platform.system() != "Darwin":
        return ()
    return parse(output_of("system_profiler", "SPDisplaysDataType", "-json"), ram)


def parse(text: str, ram: Ram) -> tuple[Gpu, ...]:
    """The Apple GPUs in `system_profiler SPDisplaysDataType -json`."""
    try:
        entries = json.loads(text)["SPDisplaysDataType"]
    except (ValueError, KeyError, TypeError):
        return ()
    names = [str(entry.get("sppci_model") or entry.get("_name") or "") for entry in entries]
    return tuple(
        Gpu(
            name=name,
            vendor="apple",
            total=working_set(ram.total),
            free=min(ram.available, working_set(ram.total)),
            integrated=True,
        )
        for name in names
        if name.startswith("Apple")
    )


def working_set(ram: int) -> int:
    """Bytes that macOS lets the GPU use: two thirds of small memories, three quarters of others."""
    return ram * 2 // 3 if ram <= _SMALL_MACHINE else ram * 3 // 4
