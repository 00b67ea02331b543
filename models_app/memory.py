"""How much memory each device gives up when a model is loaded in a given way. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from models_app.buffers import Load, cache_bytes, compute_bytes, output_bytes, state_bytes
from models_app.shape import LayerBytes, ModelShape

GUESSES: Final = 3
"""Tokens that a draft model guesses ahead in one go: the engine's own default."""


@dataclass(frozen=True, slots=True)
class Use:
    """Bytes on one device."""

    weights: int = 0
    repacked: int = 0
    """Second, rearranged copies of weights."""
    cache: int = 0
    state: int = 0
    compute: int = 0
    extra: int = 0
    """Projector and draft model."""

    @property
    def total(self) -> int:
        return self.weights + self.repacked + self.cache + self.state + self.compute + self.extra


@dataclass(frozen=True, slots=True)
class Placement:
    """Where layers go. The output counts as one more layer after the last.

    The last layers go to the GPUs, in the GPUs' order; `gpu_layers` holds a number for each. The
    experts of the model's first `cpu_expert_layers` layers stay on the CPU all the same.
    """

    gpu_layers: tuple[int, ...] = ()
    cpu_expert_layers: int = 0

    @property
    def offloaded(self) -> int:
        return sum(self.gpu_layers)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the CPU and on each GPU of the placement."""

    cpu: Use
    gpus: tuple[Use, ...] = field(default_factory=tuple)

    @property
    def total(self) -> int:
        return self.cpu.total + sum(use.total for use in self.gpus)


def plan_memory(
    shape: ModelShape, load: Load, placement: Placement, *, extra_bytes: int = 0
) -> MemoryPlan:
    """What each device holds. `extra_bytes` (projector, draft) goes to the first GPU, else CPU."""
    compute = compute_bytes(shape, load)
    at = max(0, shape.layers + 1 - placement.offloaded)
    cpu = _use(shape, load, range(at), placement, on_cpu=True)
    cpu = _plus(cpu, weights=shape.embedding.total, compute=compute + output_bytes(shape, load))
    gpus: list[Use] = []
    for count in placement.gpu_layers:
        layers = range(at, at + count)
        at += count
        kept = _experts_on_cpu(shape, layers, placement)
        cpu = _plus(
            cpu,
            weights=kept.experts,
            repacked=kept.repackable_experts if load.repack else 0,
        )
        use = _use(shape, load, layers, placement, on_cpu=False)
        gpus.append(_plus(use, compute=compute if count else 0))
    if gpus and placement.offloaded:
        gpus[0] = _plus(gpus[0], extra=extra_bytes)
    else:
        cpu = _plus(cpu, extra=extra_bytes)
    return MemoryPlan(cpu=cpu, gpus=tuple(gpus))


def draft_bytes(draft: ModelShape, target: ModelShape, load: Load) -> int:
    """All that a draft model takes beside a `target` that is loaded in this way.

    The engine gives it as much context, cached in 16 bits, and the target room for the results of
    every guess.
    """
    own = replace(load, type_k="f16", type_v="f16")
    results = 4 * load.slots * GUESSES * target.vocabulary
    return plan_memory(draft, own, Placement()).total + results


def _layer(shape: ModelShape, number: int, *, on_cpu: bool) -> LayerBytes:
    """A layer's bytes; number `shape.layers` is the output."""
    if number < len(shape.layer_bytes) and number < shape.layers:
        return shape.layer_bytes[number]
    if number != shape.layers:
        return LayerBytes()
    if not shape.tied_output:
        return shape.output
    # Tied to the embedding, which is in RAM already: a GPU needs a copy of it, and so does the
    # CPU where it rearranges weights.
    copy = 0 if on_cpu else shape.embedding.total
    return shape.output + LayerBytes(dense=copy, repackable=shape.embedding.repackable)


def _experts_on_cpu(shape: ModelShape, layers: range, placement: Placement) -> LayerBytes:
    """Of GPU layers, the experts that stay in RAM."""
    kept = LayerBytes()
    for number in layers:
        if number < placement.cpu_expert_layers:
            layer = _layer(shape, number, on_cpu=False)
            kept += LayerBytes(experts=layer.experts, repackable_experts=layer.repackable_experts)
    return kept


def _use(
    shape: ModelShape, load: Load, layers: range, placement: Placement, *, on_cpu: bool
) -> Use:
    held = [_layer(shape, number, on_cpu=on_cpu) for number in layers]
    weights = sum(layer.total for layer in held)
    repacked = 0
    if not on_cpu:
        weights -= _experts_on_cpu(shape, layers, placement).experts
    elif load.repack:
        repacked = sum(layer.repackable + layer.repackable_experts for layer in held)
    return Use(
        weights=weights,
        repacked=repacked,
        cache=sum(cache_bytes(shape, number, load) for number in layers),
        state=sum(state_bytes(shape, number, load) for number in layers),
    )


def _plus(use: Use, **more: int) -> Use:
    values = {name: getattr(use, name) for name in Use.__slots__}
    for name, count in more.items():
        values[name] += count
    return Use(**values)
