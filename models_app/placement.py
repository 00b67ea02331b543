"""Where a model's layers go so that everything fits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from models_app.buffers import Load, cache_bytes, state_bytes
from models_app.devices import Resources
from models_app.memory import MemoryPlan, Placement, draft_bytes, plan_memory
from models_app.shape import ModelShape

CONTEXT_STEP = 1024
# What is added to figures of an architecture that nobody compared with the engine's own.
CAUTION = 1.15
# Our figures for GPUs are unverified: up to this share of a GPU's room we trust them. Ways that
# fill a GPU by design stay below it; others above it are left to the engine to try.
SURE_SHARE = 0.92


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to load a model that fits, with what it takes."""

    load: Load
    placement: Placement
    memory: MemoryPlan
    gpus: tuple[int, ...] = ()
    """Numbers of the GPUs it uses, in the order of `placement.gpu_layers`."""


@dataclass(frozen=True, slots=True)
class Room:
    """A model and the memory it may take."""

    shape: ModelShape
    resources: Resources
    extra_bytes: int = 0
    draft: ModelShape | None = None
    factor: float = 1.0
    """What every figure is multiplied with before it must fit."""
    gpu_share: float = 1.0
    """How much of each GPU's room may be taken, 1 being all."""

    def fit(self, load: Load, placement: Placement, gpus: tuple[int, ...] = ()) -> Fit | None:
        """This way of loading, if every device has room for it."""
        found = Fit(load, placement, self._memory(load, placement), gpus)
        return found if self.fits(found) else None

    def fits(self, fit: Fit) -> bool:
        """Whether every device has room. Memory shared with the CPU counts there too."""
        ram = fit.memory.cpu.total
        for number, use in zip(fit.gpus, fit.memory.gpus, strict=True):
            device = self.resources.gpus[number]
            if use.total * self.factor > device.budget * self.gpu_share:
                return False
            if device.shared:
                ram += use.total
        return ram * self.factor <= self.resources.ram

    def fullest(self, fit: Fit) -> float:
        """How much of its room the fullest GPU gives up, 1 being all."""
        pairs = zip(fit.gpus, fit.memory.gpus, strict=True)
        return max((use.total / self.resources.gpus[n].budget for n, use in pairs), default=0.0)

    def on_cpu(self, load: Load) -> Fit | None:
        """Everything in RAM. Without the second copies of the weights where these do not fit."""
        return self.fit(load, Placement()) or self.fit(replace(load, repack=False), Placement())

    def on_gpus(self, load: Load) -> Fit | None:
        """Everything on one GPU, else on as few as hold it."""
        return self._spread(_beside_gpus(load), 0)

    def experts_on_cpu(self, load: Load) -> Fit | None:
        """All layers on the GPUs, but for the experts of as few layers as possible."""
        if not any(layer.experts for layer in self.shape.layer_bytes):
            return None
        room, load = replace(self, gpu_share=SURE_SHARE), _beside_gpus(load)
        return _smallest(1, self.shape.layers, partial(room._spread, load))

    def some_layers(self, load: Load) -> Fit | None:
        """As many layers on the GPUs as fit, the rest on the CPU."""
        room, load = replace(self, gpu_share=SURE_SHARE), _beside_gpus(load)
        return _largest(2, self.shape.layers, partial(room._layers, load))

    def layers(self, load: Load, count: int) -> Fit:
        """Exactly `count` layers on the GPUs, whether it fits or not."""
        gpus = self._order()
        if count <= 0 or not gpus:
            return Fit(load, Placement(), self._memory(load, Placement()))
        split = self._split(load, min(count, self.shape.layers + 1), 0, gpus)
        placement = Placement(split)
        return Fit(load, placement, self._memory(load, placement), gpus)

    def _memory(self, load: Load, placement: Placement) -> MemoryPlan:
        extra = self.extra_bytes
        if self.draft:
            extra += draft_bytes(self.draft, self.shape, load)
        return plan_memory(self.shape, load, placement, extra_bytes=extra)

    def _layers(self, load: Load, count: int) -> Fit | None:
        found = self.layers(load, count)
        return found if self.fits(found) else None

    def _spread(self, load: Load, cpu_experts: int) -> Fit | None:
        everything = self.shape.layers + 1
        for gpus in self._groups():
            split = self._split(load, everything, cpu_experts, gpus)
            for one in _nearby(split):
                if found := self.fit(load, Placement(one, cpu_experts), gpus):
                    return found
        return None

    def _order(self) -> tuple[int, ...]:
        """All GPUs, in the engine's own order."""
        return tuple(n for n, gpu in enumerate(self.resources.gpus) if gpu.budget > 0)

    def _groups(self) -> Iterator[tuple[int, ...]]:
        """Sets of GPUs to try: the roomiest alone, then with the next roomiest, and so on."""
        roomiest = sorted(self._order(), key=lambda n: -self.resources.gpus[n].budget)
        for count in range(1, len(roomiest) + 1):
            yield tuple(sorted(roomiest[:count]))

    def _split(
        self, load: Load, count: int, cpu_experts: int, gpus: tuple[int, ...]
    ) -> tuple[int, ...]:
        """The last `count` layers shared out so that all GPUs fill up alike."""
        budgets = [self.resources.gpus[number].budget for number in gpus]
        first = self.shape.layers + 1 - count
        sizes = [self._layer_bytes(load, n, cpu_experts) for n in range(first, first + count)]
        shares, filled, gpu = [0] * len(gpus), 0.0, 0
        limit = sum(sizes) * budgets[0] / sum(budgets)
        for layer_size in sizes:
            # A layer goes where the larger half of it lies.
            while gpu < len(gpus) - 1 and filled + layer_size / 2 > limit:
                gpu += 1
                limit += sum(sizes) * budgets[gpu] / sum(budgets)
            shares[gpu] += 1
            filled += layer_size
        return tuple(shares)

    def _layer_bytes(self, load: Load, number: int, cpu_experts: int) -> int:
        layers = self.shape.layer_bytes
        if number >= len(layers):
            return self.shape.output.total
        layer = layers[number]
        weights = layer.dense if number < cpu_experts else layer.total
        kept = cache_bytes(self.shape, number, load) + state_bytes(self.shape, number, load)
        return weights + kept


def _beside_gpus(load: Load) -> Load:
    """Weights that stay in RAM beside a GPU lie where it can reach them, not rearranged."""
    return replace(load, repack=False)


def _nearby(split: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The split itself, and those with one layer moved: layers are not all of one size."""
    yield split
    for give in range(len(split)):
        for take in range(len(split)):
            if give != take and split[give] > 1:
                moved = list(split)
                moved[give] -= 1
                moved[take] += 1
                yield tuple(moved)


def largest_context(most: int, least: int, attempt: Callable[[int], Fit | None]) -> Fit | None:
    """The fit with the largest context from `least` to `most`, in steps of `CONTEXT_STEP`."""
    if found := attempt(most):
        return found
    low, high = -(-least // CONTEXT_STEP), (most - 1) // CONTEXT_STEP
    found = _largest(low, high, lambda steps: attempt(steps * CONTEXT_STEP))
    return found or (attempt(least) if least < most else None)


def _largest(low: int, high: int, attempt: Callable[[int], Fit | None]) -> Fit | None:
    """The fit for the largest number that has one, where smaller numbers fit if larger do."""
    best = None
    while low <= high:
        middle = (low + high) // 2
        if found := attempt(middle):
            best, low = found, middle + 1
        else:
            high = middle - 1
    return best


def _smallest(low: int, high: int, attempt: Callable[[int], Fit | None]) -> Fit | None:
    """The fit for the smallest number that has one, where larger numbers fit if smaller do."""
    best = None
    while low <= high:
        middle = (low + high) // 2
        if found := attempt(middle):
            best, high = found, middle - 1
        else:
            low = middle + 1
    return best
