"""The processor: its cores, what it can do, and how many cores we may use."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path

import psutil

from models_app.hardware.cgroup import read_limits
from models_app.hardware.run import output_of
from models_app.machine import Cpu

CPUINFO = Path("/proc/cpuinfo")
NUMA_NODES = Path("/sys/devices/system/node")

# Those that change which code the engine runs.
_INTERESTING = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
    "sve2",
)


def read() -> Cpu:
    """This machine's processor."""
    text = CPUINFO.read_text(errors="replace") if CPUINFO.is_file() else ""
    logical = psutil.cpu_count(logical=True) or 1
    physical = psutil.cpu_count(logical=False) or logical
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else logical
    if sys.platform == "darwin":
        # Its efficiency cores would hold the others up.
        fast = output_of("sysctl", "-n", "hw.perflevel0.physicalcpu").strip()
        allowed = physical = int(fast) if fast.isdigit() else physical
        logical = physical
    return Cpu(
        name=parse_name(text) or _brand() or platform.processor() or platform.machine(),
        physical_cores=physical,
        logical_cores=logical,
        usable_cores=usable_cores(physical, logical, allowed, read_limits().cpus),
        instruction_sets=parse_instruction_sets(text),
        numa_nodes=count_numa_nodes(NUMA_NODES),
    )


def _brand() -> str:
    return output_of("sysctl", "-n", "machdep.cpu.brand_string").strip()


def usable_cores(physical: int, logical: int, allowed: int, quota: float | None) -> int:
    """Cores worth a thread each: physical ones, as far as affinity and quota let us have them.

    `allowed` counts logical processors. Two threads on one core share its vector units, which
    slows matrix products down rather than speeding them up.
    """
    cores = max(1, round(allowed * physical / logical))
    if quota is not None:
        cores = min(cores, math.ceil(quota))
    return max(1, min(cores, physical))


def parse_name(cpuinfo: str) -> str:
    """The first processor's name in /proc/cpuinfo."""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match.group(1).strip() if match else ""


def parse_instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """The instruction sets that matter to the engine, from /proc/cpuinfo on x86 and ARM."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    present = set(match.group(1).split()) if match else set()
    return tuple(name for name in _INTERESTING if name in present)


def count_numa_nodes(folder: Path) -> int:
    """How many memory nodes Linux shows; 1 where it shows none."""
    return max(1, sum(1 for _ in folder.glob("node[0-9]*")))
