"""What a ready engine really took: read from the kernel and from NVIDIA's driver.

Memory is counted for all processes of the engine's session. On a system without `/proc`, it
cannot be told what one engine has taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pynvml

from models_app.measured import GpuReading, Reading

_PROC: Final = Path("/proc")
_MAPPING: Final = re.compile(
    r"^[0-9a-f]+-[0-9a-f]+ (?P<access>\S{4}) [0-9a-f]+ \S+ (?P<inode>\d+) *(?P<path>.*)$"
)
_COUNT: Final = re.compile(r"^(?P<name>\w+): +(?P<kibibytes>\d+) kB$")
_COUNTED: Final = frozenset({"Size", "Rss", "Anonymous", "Swap"})
# The engine maps weights shared and to be read alone; programs and libraries are mapped privately.
_WEIGHTS_ACCESS: Final = "r--s"


def measure(leader: int) -> Reading | None:
    """Memory of the session that `leader` leads; None when it is gone or cannot be read. Blocks."""
    pids = session(leader)
    texts = []
    for pid in pids:
        with suppress(OSError):  # It has ended meanwhile, or belongs to another user.
            texts.append((_PROC / str(pid) / "smaps").read_text(errors="replace"))
    if not any(texts):
        return None
    return parse_smaps(texts, gpus_of(pids))


def session(leader: int) -> list[int]:
    """All processes of a session; none without `/proc`."""
    found = []
    with suppress(OSError):
        for name in os.listdir(_PROC):
            with suppress(OSError):
                if name.isdigit() and os.getsid(int(name)) == leader:
                    found.append(int(name))
    return found


def parse_smaps(texts: Iterable[str], gpus: tuple[GpuReading, ...] | None = None) -> Reading:
    """The sums over the `smaps` of several processes.

    The sums in `smaps_rollup` would not do: they do not tell weights from libraries, nor how much
    of the weights was dropped from RAM.
    """
    mapped = mapped_resident = libraries = private = 0
    for text in texts:
        for is_weights, sizes in _mappings(text):
            of_file = sizes["Rss"] - sizes["Anonymous"]
            private += sizes["Anonymous"] + sizes["Swap"]
            if is_weights:
                mapped += sizes["Size"]
                mapped_resident += of_file
            else:
                libraries += of_file
    return Reading(mapped, mapped_resident, libraries, private, gpus)


def _mappings(text: str) -> Iterable[tuple[bool, dict[str, int]]]:
    """Every mapping: whether it holds weights, and its counts in bytes."""
    found: list[tuple[bool, dict[str, int]]] = []
    for line in text.splitlines():
        if match := _COUNT.match(line):
            if found and match["name"] in _COUNTED:
                found[-1][1][match["name"]] = int(match["kibibytes"]) * 1024
        elif match := _MAPPING.match(line):
            found.append((_holds_weights(match), dict.fromkeys(_COUNTED, 0)))
    return found


def _holds_weights(match: re.Match[str]) -> bool:
    is_file = match["inode"] != "0" and not match["path"].startswith("/dev/")
    return match["access"] == _WEIGHTS_ACCESS and is_file


def gpus_of(pids: Collection[int], nvml: Any = pynvml) -> tuple[GpuReading, ...] | None:
    """What these processes hold on each NVIDIA GPU that they use.

    None without the driver, and where it does not tell: in a container the driver counts by
    process ids that mean nothing here.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        found = [_on_gpu(nvml, index, pids) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()
    return tuple(one for one in found if one) or None


def _on_gpu(nvml: Any, index: int, pids: Collection[int]) -> GpuReading | None:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    used: dict[int, int] = {}
    # CUDA counts as computing, Vulkan as graphics; a process may be in both lists.
    for processes in (
        nvml.nvmlDeviceGetComputeRunningProcesses(handle),
        nvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
    ):
        for process in processes:
            if process.pid in pids and process.usedGpuMemory is not None:
                used[process.pid] = max(used.get(process.pid, 0), int(process.usedGpuMemory))
    if not used:
        return None
    name = nvml.nvmlDeviceGetName(handle)
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return GpuReading(text, sum(used.values()))
