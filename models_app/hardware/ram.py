"""Main memory, within the limits of the container we run in."""

from __future__ import annotations

import psutil

from models_app.hardware.cgroup import Limits, read_limits
from models_app.machine import Ram


def read() -> Ram:
    """Total and available memory right now."""
    memory = psutil.virtual_memory()
    return within_limits(Ram(total=memory.total, available=memory.available), read_limits())


def within_limits(ram: Ram, limits: Limits) -> Ram:
    """`ram` as a process under `limits` sees it."""
    if limits.memory is None or limits.memory >= ram.total:
        return ram
    left = max(0, limits.memory - (limits.memory_used or 0))
    return Ram(total=limits.memory, available=min(ram.available, left), limit="cgroup")
