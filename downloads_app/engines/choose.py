"""Which files of a release suit a machine. Pure.

    platform   GPU by           in this order
    windows    NVIDIA           cuda, vulkan, cpu
    windows    AMD              rocm, vulkan, cpu
    linux      NVIDIA           cuda, vulkan, cpu
    linux      AMD              vulkan, rocm, cpu      (ROCm's builds need its runtime installed)
    any        Intel, others    vulkan, sycl, cpu
    darwin     Apple            metal, cpu
    any        none             cpu, vulkan            (a Vulkan build runs on the CPU, too)

A backend that was wished for stands alone: what does not exist is said, not replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from downloads_app.engines.assets import HARMLESS, INSTRUCTION_SETS, Asset, Kind, sort
from models_app.machine import Machine

ORDER: Final = {
    ("windows", "nvidia"): ("cuda", "vulkan", "cpu"),
    ("windows", "amd"): ("rocm", "vulkan", "cpu"),
    ("linux", "nvidia"): ("cuda", "vulkan", "cpu"),
    ("linux", "amd"): ("vulkan", "rocm", "cpu"),
    ("darwin", "apple"): ("metal", "cpu"),
}
OTHER_GPU: Final = ("vulkan", "sycl", "cpu")
NO_GPU: Final = ("cpu", "vulkan")
VENDORS: Final = ("nvidia", "amd", "apple")
"""Whose GPU decides when there are several."""

CUDA_DRIVERS: Final = {
    # CUDA: the oldest driver that runs all of it, on Linux and on Windows.
    (11, 7): ((515, 43), (516, 1)),
    (11, 8): ((520, 61), (522, 6)),
    (12, 0): ((525, 60), (527, 41)),
    (12, 1): ((530, 30), (531, 14)),
    (12, 2): ((535, 54), (536, 25)),
    (12, 3): ((545, 23), (545, 84)),
    (12, 4): ((550, 54), (551, 61)),
    (12, 5): ((555, 42), (555, 85)),
    (12, 6): ((560, 28), (560, 76)),
    (12, 8): ((570, 26), (570, 65)),
    (12, 9): ((575, 51), (576, 2)),
    (13, 0): ((580, 65), (580, 65)),
}
"""A build brings code that the driver translates, and it translates only what its own version of
CUDA knows. Of a version that is not listed the next newer one's driver is asked for."""

CUDA_CAPABILITIES: Final = {11: (3, 5), 12: (5, 0), 13: (7, 5)}
"""The oldest GPUs that a CUDA of that generation has code for."""


class NothingFits(Exception):
    """The release has no build for this machine; the text says what it has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to fetch: the build, and the libraries that go beside it."""

    backend: str
    build: Asset
    runtimes: tuple[Asset, ...] = ()

    @property
    def assets(self) -> tuple[Asset, ...]:
        return (self.build, *self.runtimes)


def choose(assets: Iterable[Asset], machine: Machine, wanted: str = "") -> Choice:
    """The best build for the machine, of the backend `wanted` if one is. Raises NothingFits."""
    known = sort(assets)
    here = [
        (kind, asset)
        for kind, asset in known
        if (kind.platform, kind.arch) == (machine.platform, machine.arch) and _runs(kind, machine)
    ]
    builds = [(kind, asset) for kind, asset in here if not kind.is_runtime]
    for backend in order_of(machine, wanted):
        fitting = [one for one in builds if one[0].backend == backend]
        if fitting:
            kind, build = max(fitting, key=lambda one: _rank(one[0]))
            return Choice(backend, build, _runtimes(kind, here))
    raise NothingFits(_nothing(known, machine, wanted))


def order_of(machine: Machine, wanted: str = "") -> tuple[str, ...]:
    """The backends to try, the best first."""
    if wanted:
        return (wanted,)
    vendors = {gpu.vendor for gpu in machine.gpus}
    for vendor in VENDORS:
        if vendor in vendors:
            return ORDER.get((machine.platform, vendor), OTHER_GPU)
    if vendors:
        return OTHER_GPU
    return ("metal", *NO_GPU) if machine.platform == "darwin" else NO_GPU


def _runs(kind: Kind, machine: Machine) -> bool:
    """Whether what the name says lets it run here."""
    have = {name.lower().replace("_", "") for name in machine.cpu.instruction_sets}
    for word in kind.extra:
        if word == "avx512":
            if not any(name.startswith("avx512") for name in have):
                return False
        elif word in INSTRUCTION_SETS:
            if word != "noavx" and have and word not in have:
                return False
        elif word not in HARMLESS:
            return False
    return kind.backend != "cuda" or _has_driver(kind.runtime, machine)


def _has_driver(runtime: tuple[int, ...], machine: Machine) -> bool:
    cards = [gpu for gpu in machine.gpus if gpu.vendor == "nvidia"]
    if not cards or not runtime:
        return True  # Wished for without a card to ask, or silent: the trial run will tell.
    needed = _driver_for(runtime, machine.platform)
    oldest = CUDA_CAPABILITIES.get(runtime[0], (0, 0))
    return any(
        (not gpu.driver or _numbers(gpu.driver) >= needed)
        and (not gpu.compute_capability or _numbers(gpu.compute_capability) >= oldest)
        for gpu in cards
    )


def _driver_for(runtime: tuple[int, ...], platform: str) -> tuple[int, ...]:
    column = 1 if platform == "windows" else 0
    for version, drivers in sorted(CUDA_DRIVERS.items()):
        if version >= runtime[:2]:
            return drivers[column]
    # Newer than the table: its driver is at least the newest one known, of the same generation.
    return CUDA_DRIVERS[max(CUDA_DRIVERS)][column]


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts[:2] if part.isdecimal())


def _rank(kind: Kind) -> tuple[int, tuple[int, ...], int, tuple[str, ...]]:
    """Instruction sets, then the newest runtime, then the fewest special words."""
    sets = [INSTRUCTION_SETS.index(word) for word in kind.extra if word in INSTRUCTION_SETS]
    # A build without such a word is for every processor and picks the best code when it starts.
    best = sets[0] if sets else len(INSTRUCTION_SETS)
    return best, kind.runtime, -len(kind.extra), tuple(sorted(kind.extra))


def _runtimes(kind: Kind, here: Sequence[tuple[Kind, Asset]]) -> tuple[Asset, ...]:
    """The libraries published for exactly that build's backend and version."""
    return tuple(
        asset
        for other, asset in here
        if other.is_runtime and (other.backend, other.runtime) == (kind.backend, kind.runtime)
    )


def _nothing(known: Sequence[tuple[Kind, Asset]], machine: Machine, wanted: str) -> str:
    what = f"a {wanted} build" if wanted else "a build"
    there = sorted(
        {
            kind.backend
            for kind, _ in known
            if (kind.platform, kind.arch) == (machine.platform, machine.arch)
            and not kind.is_runtime
        }
    )
    has = f"It has: {', '.join(there)}." if there else "It has none for this platform at all."
    return (
        f"The release has no file for {machine.platform} on {machine.arch} that is {what} for this "
        f"machine. {has} Choose another backend or release, or install from an archive or the "
        "Python package."
    )
