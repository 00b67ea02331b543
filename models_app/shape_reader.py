"""GGUF header -> the model's shape, with the engine's own rules for what headers leave out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from models_app.facts_values import MAX_LAYERS, Values
from models_app.gguf import GgufHeader, TensorInfo
from models_app.shape import LayerBytes, ModelShape

# Of every `period` layers the last has no window; the others do. The files of these architectures
# give the window's size only. Any other architecture without a pattern has no windows at all,
# even if its file names a size: the engine then ignores it.
WINDOW_PERIODS: Final = {
    "afmoe": 4,
    "cohere2": 4,
    "exaone-moe": 4,
    "exaone4": 4,
    "gemma-embedding": 6,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "olmo2": 4,
    "plamo3": 8,
}
# Recurrent layers but for every fourth.
_ATTENTION_INTERVALS: Final = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
_PURELY_RECURRENT: Final = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_BOTH_IN_EVERY_LAYER: Final = frozenset({"falcon-h1"})
ENCODERS: Final = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2",
     "jina-bert-v3", "eurobert", "t5encoder"}
)  # fmt: skip
"""Models that read a whole text at once and keep no keys and values."""

# Types that the CPU backend of the measured build rearranges into a second copy.
REPACKED_TYPES: Final = frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "MXFP4"})

_LAYER = re.compile(r"blk\.(\d{1,9})\.")
_INPUTS: Final = ("token_embd.", "token_types.", "position_embd.", "per_layer_token_embd.")


def shape_of(header: GgufHeader) -> ModelShape:
    """The shape that the header tells; of a later part of a split model, its tensors only."""
    values = Values(header.metadata)
    arch = values.text("general.architecture")
    if arch == "clip":
        return _projector(values, header.tensors)
    layers = values.integer(f"{arch}.block_count", most=MAX_LAYERS) or 0
    width = values.integer(f"{arch}.embedding_length") or 0
    heads = max(values.per_layer(f"{arch}.attention.head_count", layers), default=0)
    head_size = width // heads if heads else 0
    names = {tensor.name for tensor in header.tensors}
    latent = values.integer(f"{arch}.attention.kv_lora_rank") or 0
    key = values.integer(f"{arch}.attention.key_length") or head_size
    value = values.integer(f"{arch}.attention.value_length") or head_size
    window = values.integer(f"{arch}.attention.sliding_window") or 0
    layer_bytes, embedding, output = _sum_tensors(header.tensors)
    recurrent = _recurrent(values, arch, layers)
    return ModelShape(
        architecture=arch,
        layers=layers,
        width=width,
        vocabulary=values.length("tokenizer.ggml.tokens")
        or values.integer(f"{arch}.vocab_size")
        or 0,
        trained_context=values.integer(f"{arch}.context_length"),
        feed_forward=_feed_forward(values, arch, names),
        heads=heads,
        kv_heads=_kv_heads(values, arch, layers),
        key_length=key,
        value_length=value,
        key_length_window=values.integer(f"{arch}.attention.key_length_swa") or key,
        value_length_window=values.integer(f"{arch}.attention.value_length_swa") or value,
        window=window,
        windowed=_windowed(values, arch, layers) if window else (),
        latent_rank=latent if "blk.0.attn_k_b.weight" in names else 0,
        rope_length=values.integer(f"{arch}.rope.dimension_count") or 0,
        unpacked_key_length=values.integer(f"{arch}.attention.key_length_mla") or 0,
        recurrent=recurrent,
        conv_kernel=values.integer(f"{arch}.ssm.conv_kernel")
        or values.integer(f"{arch}.shortconv.l_cache")
        or 0,
        inner_size=values.integer(f"{arch}.ssm.inner_size") or 0,
        state_size=values.integer(f"{arch}.ssm.state_size") or 0,
        state_groups=values.integer(f"{arch}.ssm.group_count") or 0,
        state_ranks=values.integer(f"{arch}.ssm.time_step_rank") or 0,
        experts=values.integer(f"{arch}.expert_count") or 0,
        experts_used=values.integer(f"{arch}.expert_used_count") or 0,
        expert_feed_forward=values.integer(f"{arch}.expert_feed_forward_length") or 0,
        layer_bytes=layer_bytes,
        embedding=embedding,
        output=output,
        tied_output="token_embd.weight" in names and "output.weight" not in names,
    )


def stretch(items: Sequence[int], layers: int) -> tuple[int, ...]:
    """One item a layer, from one a layer or one for all."""
    return tuple(items) if len(items) == layers else tuple(items[:1]) * layers


def _projector(values: Values, tensors: Sequence[TensorInfo]) -> ModelShape:
    """A projector's shape: its "context" is how many patches it cuts an image of full size into."""
    image = values.integer("clip.vision.image_size") or 0
    patch = values.integer("clip.vision.patch_size") or 1
    _, embedding, output = _sum_tensors(tensors)
    return ModelShape(
        architecture="clip",
        width=values.integer("clip.vision.embedding_length") or 0,
        feed_forward=values.integer("clip.vision.feed_forward_length") or 0,
        heads=values.integer("clip.vision.attention.head_count") or 0,
        trained_context=(image // max(1, patch)) ** 2,
        embedding=embedding,
        output=output,
    )


def _feed_forward(values: Values, arch: str, names: Collection[str]) -> int:
    """Width of the dense feed-forward layers; 0 when experts have taken the place of all."""
    dense = any(name.endswith((".ffn_up.weight", ".ffn_down.weight")) for name in names)
    length = values.largest(f"{arch}.feed_forward_length") or 0
    return length if dense or not values.integer(f"{arch}.expert_used_count") else 0


def _kv_heads(values: Values, arch: str, layers: int) -> tuple[int, ...]:
    if arch in ENCODERS or arch in _PURELY_RECURRENT:
        return (0,) * layers
    heads = values.per_layer(f"{arch}.attention.head_count_kv", layers) or values.per_layer(
        f"{arch}.attention.head_count", layers
    )
    per_layer = stretch(heads, layers)
    # The last layers of some models look into the cache of earlier ones, or only serve to draft.
    sharing = values.integer(f"{arch}.attention.shared_kv_layers") or 0
    sharing += values.integer(f"{arch}.nextn_predict_layers") or 0
    own = max(0, layers - sharing)
    return per_layer[:own] + (0,) * (layers - own)


def _windowed(values: Values, arch: str, layers: int) -> tuple[bool, ...]:
    key = f"{arch}.attention.sliding_window_pattern"
    if flags := values.flags(key):
        return flags[:layers]
    return windows_by_period(values.integer(key) or WINDOW_PERIODS.get(arch, 0), layers)


def windows_by_period(period: int, layers: int) -> tuple[bool, ...]:
    """Which layers have a window when every layer but each `period`-th has one."""
    if period <= 1:
        return ()
    return tuple(layer % period < period - 1 for layer in range(layers))


def _recurrent(values: Values, arch: str, layers: int) -> tuple[bool, ...]:
    if arch in _PURELY_RECURRENT:
        return (True,) * layers
    interval = values.integer(f"{arch}.full_attention_interval") or _ATTENTION_INTERVALS.get(arch)
    if interval and arch in _ATTENTION_INTERVALS:
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    has_state = values.integer(f"{arch}.ssm.inner_size") or values.integer(
        f"{arch}.shortconv.l_cache"
    )
    if has_state and arch not in _BOTH_IN_EVERY_LAYER:
        return tuple(heads == 0 for heads in _kv_heads(values, arch, layers))
    return ()


def _sum_tensors(
    tensors: Sequence[TensorInfo],
) -> tuple[tuple[LayerBytes, ...], LayerBytes, LayerBytes]:
    layers: dict[int, LayerBytes] = {}
    embedding, output = LayerBytes(), LayerBytes()
    for tensor in tensors:
        match = _LAYER.match(tensor.name)
        if match and (number := int(match[1])) < MAX_LAYERS:
            layers[number] = layers.get(number, LayerBytes()) + _bytes_of(tensor)
        elif tensor.name.startswith(_INPUTS):
            # Looked up by row, never multiplied, unless the output is tied to it.
            embedding += _bytes_of(tensor)
        else:
            output += _bytes_of(tensor)
    count = max(layers, default=-1) + 1
    return tuple(layers.get(n, LayerBytes()) for n in range(count)), embedding, output


def _bytes_of(tensor: TensorInfo) -> LayerBytes:
    repacked = tensor.size if is_repacked(tensor) else 0
    if "_exps." in tensor.name:
        return LayerBytes(experts=tensor.size, repackable_experts=repacked)
    return LayerBytes(dense=tensor.size, repackable=repacked)


def is_repacked(tensor: TensorInfo) -> bool:
    """Whether the CPU backend keeps a rearranged copy of this matrix."""
    return tensor.type_name in REPACKED_TYPES and len(tensor.shape) >= 2
