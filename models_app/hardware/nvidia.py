"""NVIDIA GPUs through the driver's management library (NVML)."""

from __future__ import annotations

from typing import Any

import pynvml

from models_app.machine import Gpu


def read(nvml: Any = pynvml) -> tuple[Gpu, ...]:
    """Every NVIDIA GPU of the machine; none without the driver.

    A GPU that the driver lists but will not describe is left out: the engine cannot use it.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        count = nvml.nvmlDeviceGetCount()
        found = (_describe(nvml, index, driver) for index in range(count))
        return tuple(gpu for gpu in found if gpu)
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _describe(nvml: Any, index: int, driver: str) -> Gpu | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            name=_text(nvml.nvmlDeviceGetName(handle)),
            vendor="nvidia",
            total=int(memory.total),
            free=int(memory.free),
            driver=driver,
            compute_capability=_capability(nvml, handle),
        )
    except nvml.NVMLError:
        return None


def _capability(nvml: Any, handle: Any) -> str:
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except nvml.NVMLError:
        return ""
    return f"{major}.{minor}"


def _text(value: bytes | str) -> str:
    """Older versions of the library answer with bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
