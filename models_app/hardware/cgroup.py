"""Limits that a container sets on us, from the cgroup file system (Linux, versions 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Limits:
    """The tightest limits on the way from our own cgroup to the root; None is no limit."""

    memory: int | None = None
    """Bytes."""
    memory_used: int | None = None
    """Bytes in use in the cgroup that sets the memory limit, without what it can drop."""
    cpus: float | None = None
    """Processors' worth of time."""


def read_limits(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> Limits:
    """The limits on this process; none where there are no cgroups."""
    memory: tuple[int, int | None] | None = None
    cpus: float | None = None
    for folder in _folders(root, own):
        found = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        # Version 1 writes "no limit" as a number near 2^63.
        if found and found < 2**60 and (memory is None or found < memory[0]):
            memory = (found, _used(folder))
        share = _cpu_share(folder)
        if share and (cpus is None or share < cpus):
            cpus = share
    limit, used = memory or (None, None)
    return Limits(memory=limit, memory_used=used, cpus=cpus)


def _folders(root: Path, own: Path) -> Iterator[Path]:
    """Our cgroups' folders with all folders above them, in both versions' layouts."""
    seen = set()
    for line in _text(own).splitlines() or ["0::/"]:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        base = root / controllers if controllers else root
        at = PurePosixPath(path or "/")
        for part in (at, *at.parents):
            folder = base / str(part).lstrip("/")
            if folder not in seen:
                seen.add(folder)
                yield folder


def _used(folder: Path) -> int | None:
    current = _number(folder / "memory.current")
    if current is None:
        current = _number(folder / "memory.usage_in_bytes")
    if current is None:
        return None
    stat = dict(line.split()[:2] for line in _text(folder / "memory.stat").splitlines() if line)
    # Cached file pages count as used but are given up when anybody wants the memory.
    return max(0, current - int(stat.get("inactive_file", 0)) - int(stat.get("active_file", 0)))


def _cpu_share(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
