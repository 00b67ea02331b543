"""What we know of one GGUF file: the header's values under our names, checked and JSON-able.

A value that is missing, of the wrong type or out of range is None (or empty): files in the field
carry all kinds of metadata, and one odd key must not hide the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from models_app.buffers import Load, state_bytes
from models_app.chat_template import has_chat_template, supports_reasoning, supports_tools
from models_app.facts_values import MAX_LAYERS, Values
from models_app.gguf import DIGESTED, GgufHeader
from models_app.kinds import Kind, kind_of
from models_app.quantization import bytes_by_type, quantization_of
from models_app.shape import ModelShape
from models_app.shape_reader import shape_of

__all__ = ["FileFacts", "Kind", "facts_of"]

MAX_PARAMETERS: Final = 2**53  # tensors of an unknown type may claim any shape
POOLINGS: Final = ("none", "mean", "cls", "last", "rank")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts of one file. For a split model, those of the part at hand; sizes are in bytes."""

    kind: Kind = Kind.OTHER
    architecture: str = ""
    name: str = ""
    basename: str = ""
    base_models: tuple[str, ...] = ()
    size_label: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()
    quantization: str = ""  # as the engine writes it, "Q4_K_M"
    parameters: int = 0  # numbers in all tensors
    tensor_bytes: int = 0
    bytes_by_type: Mapping[str, int] = field(default_factory=dict)  # tensors, {"Q4_K": 144}
    split_no: int = 1  # counted from 1
    split_count: int = 1
    context_length: int | None = None  # trained, in tokens
    vocabulary: int | None = None  # tokens
    tokenizer: str = ""
    # Equal for files of one vocabulary: same tokens in the same order. "" when not known.
    vocabulary_digest: str = ""
    chat_template: bool = False
    # Told from the template, conservatively: False also where it does not say.
    tools: bool = False
    reasoning: bool = False
    pooling: str = ""  # one of `POOLINGS`, "" when the file does not say
    block_count: int | None = None  # layers
    embedding_length: int | None = None
    feed_forward_length: int | None = None  # of the widest layer
    head_count: int | None = None  # of the layer with the most
    kv_heads: tuple[int, ...] = ()  # one number a layer
    key_length: int | None = None
    value_length: int | None = None
    sliding_window: int | None = None  # tokens
    # Which layers have the window, where the file says: all but each n-th, or one flag a layer.
    sliding_window_period: int | None = None
    sliding_window_layers: tuple[bool, ...] = ()
    expert_count: int | None = None
    expert_used_count: int | None = None
    # Ranks of multi-head latent attention, which keeps one compressed vector a token.
    query_rank: int | None = None
    kv_rank: int | None = None
    recurrent_layers: tuple[bool, ...] = ()  # those that keep a state instead of keys and values
    recurrent_bytes: int | None = None  # the state of all layers, for one request
    rope_scaling: str = ""  # how positions beyond those first trained are reached, such as "yarn"
    rope_scaling_factor: float | None = None
    rope_original_context: int | None = None  # tokens, before scaling
    projector_type: str = ""  # of a projector: the family of models it fits
    projection_dim: int | None = None  # of a projector: the embedding length it fits
    sees: bool = False  # of a projector
    hears: bool = False  # of a projector
    shape: Mapping[str, Any] = field(default_factory=dict)  # what memory planning needs

    def to_json(self) -> dict[str, Any]:
        """These facts as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileFacts:
        """The facts that `to_json` gave. Unknown keys are ignored, missing ones take the default.

        Raises ValueError for a kind that does not exist.
        """
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data.items()
            if name in known
        }
        values["kind"] = Kind(values.get("kind", Kind.OTHER))
        return cls(**values)


def facts_of(header: GgufHeader, filename: str) -> FileFacts:
    """The facts that `header` tells, and `filename` where the header leaves the kind open."""
    values = Values(header.metadata)
    arch = values.text("general.architecture")
    layers = values.integer(f"{arch}.block_count", most=MAX_LAYERS)
    width = values.integer(f"{arch}.embedding_length")
    heads = values.per_layer(f"{arch}.attention.head_count", layers)
    kv_heads = values.per_layer(f"{arch}.attention.head_count_kv", layers)
    # The engine's defaults: as many KV heads as heads, and the width shared out among the heads.
    head_size = width // heads[0] if width and heads and heads[0] else None
    shape = shape_of(header)
    return FileFacts(
        kind=kind_of(header, filename),
        architecture=arch,
        name=values.text("general.name"),
        basename=values.text("general.basename"),
        base_models=_base_models(values),
        size_label=values.text("general.size_label"),
        licence=values.text("general.license.name") or values.text("general.license"),
        tags=values.texts("general.tags"),
        quantization=quantization_of(header),
        parameters=min(header.parameters, MAX_PARAMETERS),
        tensor_bytes=header.tensor_bytes,
        bytes_by_type=bytes_by_type(header.tensors),
        split_no=1 + (values.integer("split.no") or 0),
        split_count=values.integer("split.count") or 1,
        context_length=values.integer(f"{arch}.context_length"),
        vocabulary=values.length("tokenizer.ggml.tokens") or values.integer(f"{arch}.vocab_size"),
        tokenizer=values.text("tokenizer.ggml.model"),
        vocabulary_digest=values.digest(DIGESTED),
        chat_template=has_chat_template(header),
        tools=supports_tools(header),
        reasoning=supports_reasoning(header),
        pooling=_pooling(values.integer(f"{arch}.pooling_type")),
        block_count=layers,
        embedding_length=width,
        feed_forward_length=values.largest(f"{arch}.feed_forward_length"),
        head_count=max(heads, default=None),
        kv_heads=kv_heads or heads,
        key_length=values.integer(f"{arch}.attention.key_length") or head_size,
        value_length=values.integer(f"{arch}.attention.value_length") or head_size,
        sliding_window=values.integer(f"{arch}.attention.sliding_window") or None,
        sliding_window_period=values.integer(f"{arch}.attention.sliding_window_pattern"),
        sliding_window_layers=values.flags(f"{arch}.attention.sliding_window_pattern"),
        expert_count=values.integer(f"{arch}.expert_count") or None,
        expert_used_count=values.integer(f"{arch}.expert_used_count") or None,
        query_rank=values.integer(f"{arch}.attention.q_lora_rank") or None,
        kv_rank=values.integer(f"{arch}.attention.kv_lora_rank") or None,
        recurrent_layers=shape.recurrent,
        recurrent_bytes=_recurrent_bytes(shape) or None,
        rope_scaling=_rope_scaling(header, values, arch),
        rope_scaling_factor=values.number(f"{arch}.rope.scaling.factor")
        or values.number(f"{arch}.rope.scale_linear"),
        rope_original_context=values.integer(f"{arch}.rope.scaling.original_context_length"),
        projector_type=_projector_type(values),
        projection_dim=_projection_dim(values),
        sees=_sees(values, arch),
        hears=values.flag("clip.has_audio_encoder"),
        shape=shape.to_json(),
    )


def _recurrent_bytes(shape: ModelShape) -> int:
    alone = Load(context=0, slots=1)
    return sum(state_bytes(shape, layer, alone) for layer in range(shape.layers))


def _rope_scaling(header: GgufHeader, values: Values, arch: str) -> str:
    """The scaling's name, or where only tensors tell of it, theirs."""
    if named := values.text(f"{arch}.rope.scaling.type"):
        return named
    names = {tensor.name for tensor in header.tensors}
    if "rope_factors_long.weight" in names or "blk.0.rope_factors_long.weight" in names:
        return "longrope"
    return "llama3" if {"rope_freqs.weight", "blk.0.rope_freqs.weight"} & names else ""


def _base_models(values: Values) -> tuple[str, ...]:
    count = values.integer("general.base_model.count", most=16) or 0
    names = (values.text(f"general.base_model.{number}.name") for number in range(count))
    return tuple(name for name in names if name)


def _pooling(number: int | None) -> str:
    return POOLINGS[number] if number is not None and number < len(POOLINGS) else ""


def _sees(values: Values, arch: str) -> bool:
    # The oldest projectors say nothing, and all of them see.
    silent = arch == "clip" and not values.flag("clip.has_audio_encoder")
    return values.flag("clip.has_vision_encoder") or silent


def _projector_type(values: Values) -> str:
    return (
        values.text("clip.projector_type")
        or values.text("clip.vision.projector_type")
        or values.text("clip.audio.projector_type")
    )


def _projection_dim(values: Values) -> int | None:
    return values.integer("clip.vision.projection_dim") or values.integer(
        "clip.audio.projection_dim"
    )
