"""The numbers of a model that decide how much memory it takes: its layers and their tensors.

`shape_of` takes them from a header. A split model's shape is the sum of its parts' shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class LayerBytes:
    """Bytes of one layer's tensors in the file."""

    dense: int = 0
    experts: int = 0
    """Of the routed experts, which may stay in RAM while the rest is on a GPU."""
    repackable: int = 0
    """Of `dense`: what some CPUs keep a second, rearranged copy of."""
    repackable_experts: int = 0

    @property
    def total(self) -> int:
        return self.dense + self.experts

    def __add__(self, other: LayerBytes) -> LayerBytes:
        return LayerBytes(
            self.dense + other.dense,
            self.experts + other.experts,
            self.repackable + other.repackable,
            self.repackable_experts + other.repackable_experts,
        )


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model as memory planning sees it. Lengths are in numbers, sizes in bytes, contexts in
    tokens; tuples hold one item a layer."""

    architecture: str = ""
    layers: int = 0
    width: int = 0
    vocabulary: int = 0
    trained_context: int | None = None
    feed_forward: int = 0
    heads: int = 0

    # Attention. A layer with 0 KV heads keeps no keys and values.
    kv_heads: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    key_length_window: int = 0
    value_length_window: int = 0
    window: int = 0
    windowed: tuple[bool, ...] = ()
    # Multi-head latent attention: one compressed vector a token instead of keys and values.
    latent_rank: int = 0
    rope_length: int = 0
    unpacked_key_length: int = 0

    # Recurrent state
    recurrent: tuple[bool, ...] = ()
    conv_kernel: int = 0
    inner_size: int = 0
    state_size: int = 0
    state_groups: int = 0
    state_ranks: int = 0

    # Experts
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0

    # Tensors
    layer_bytes: tuple[LayerBytes, ...] = ()
    embedding: LayerBytes = field(default_factory=LayerBytes)
    """The token embedding; the engine keeps it in RAM."""
    output: LayerBytes = field(default_factory=LayerBytes)
    """The output matrix and norms; they go where the last layer goes."""
    tied_output: bool = False
    """The token embedding serves as output matrix too."""
    exact: bool = True
    """False when sizes are guessed from the file's size alone."""

    @property
    def is_mla(self) -> bool:
        return self.latent_rank > 0

    @property
    def weight_bytes(self) -> int:
        """All tensors of the file."""
        layers = sum(layer.total for layer in self.layer_bytes)
        return layers + self.embedding.total + self.output.total

    def has_cache(self, layer: int) -> bool:
        """Whether the layer keeps something for every token of the context."""
        return not self.is_recurrent(layer) and self.kv_heads_of(layer) > 0

    def kv_heads_of(self, layer: int) -> int:
        return self.kv_heads[layer] if layer < len(self.kv_heads) else 0

    def is_recurrent(self, layer: int) -> bool:
        return layer < len(self.recurrent) and self.recurrent[layer]

    def is_windowed(self, layer: int) -> bool:
        return self.window > 0 and layer < len(self.windowed) and self.windowed[layer]

    def to_json(self) -> dict[str, Any]:
        """Plain values; layers that are alike are written once, with their number."""
        values = asdict(self)
        for name in _PER_LAYER:
            values[name] = _shorten(values[name])
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelShape:
        """The reverse of `to_json`; keys of other versions are ignored."""
        known = {item.name for item in fields(cls)}
        kept: dict[str, Any] = {name: values[name] for name in known if name in values}
        for name in _PER_LAYER:
            kept[name] = _lengthen(kept.get(name, ()))
        kept["layer_bytes"] = tuple(LayerBytes(**one) for one in kept["layer_bytes"])
        for name in ("embedding", "output"):
            kept[name] = LayerBytes(**kept.get(name, {}))
        return cls(**kept)


_PER_LAYER = ("kv_heads", "windowed", "recurrent", "layer_bytes")


def _shorten(items: Sequence[Any]) -> list[Any]:
    """Runs of equal items as [count, item]."""
    runs: list[Any] = []
    for item in items:
        if runs and runs[-1][1] == item:
            runs[-1][0] += 1
        else:
            runs.append([1, item])
    return runs


def _lengthen(runs: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(item for count, item in runs for _ in range(count))


def join(parts: Sequence[ModelShape]) -> ModelShape:
    """The shape of a split model. The first part has the metadata, every part has tensors."""
    first = parts[0]
    layers = list(first.layer_bytes)
    embedding, output = first.embedding, first.output
    for part in parts[1:]:
        embedding, output = embedding + part.embedding, output + part.output
        layers += [LayerBytes()] * (len(part.layer_bytes) - len(layers))
        for number, layer in enumerate(part.layer_bytes):
            layers[number] = layers[number] + layer
    return replace(first, layer_bytes=tuple(layers), embedding=embedding, output=output)
