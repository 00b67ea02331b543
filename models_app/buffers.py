"""The buffers that llama-server allocates for a model loaded in a given way. Pure arithmetic.

The formulas follow what the engine says it takes on its CPU backend; `docs/memory.md` shows how
well they hold. For GPUs they are unverified.
"""

from __future__ import annotations

from dataclasses import dataclass

from models_app.ggml import TENSOR_TYPES
from models_app.shape import ModelShape

_MOST_PATCHES = 4096
CELL_STEP = 256  # the engine rounds the number of cached tokens up to this

_BYTES_PER_NUMBER = {kind.name.lower(): kind.size / kind.block for kind in TENSOR_TYPES.values()}


# Architectures whose figures were compared with the engine's own.
MEASURED = frozenset({
    "bert", "deepseek2", "gemma2", "gemma3", "gpt-oss", "llama", "mamba", "phi3", "qwen2", "qwen3",
    "qwen35", "qwen3moe",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """How a model is loaded, every default spelled out. `context` is in tokens over all slots."""

    context: int
    slots: int = 4
    unified: bool = True
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attention: bool = True
    ubatch: int = 512
    embedding: bool = False
    full_windows: bool = False
    repack: bool = True


def is_measured(shape: ModelShape) -> bool:
    """Whether the estimate for this architecture was compared with the engine."""
    return shape.architecture in MEASURED


def round_up(value: int, step: int = CELL_STEP) -> int:
    """The smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step


def cells(load: Load) -> int:
    """Tokens the cache has room for, over all slots."""
    if load.unified:
        return round_up(load.context)
    return load.slots * round_up(-(-load.context // load.slots))


def window_cells(shape: ModelShape, load: Load) -> int:
    """Tokens that layers with a window have room for, over all slots."""
    full = cells(load)
    if load.full_windows:
        return full
    streams = 1 if load.unified else load.slots
    wanted = shape.window * (load.slots if load.unified else 1) + load.ubatch
    return streams * min(full // streams, round_up(wanted))


def cache_bytes(shape: ModelShape, layer: int, load: Load) -> int:
    """Keys and values of one layer."""
    if not shape.has_cache(layer):
        return 0
    windowed = shape.is_windowed(layer)
    count = window_cells(shape, load) if windowed else cells(load)
    if shape.is_mla:
        row = (shape.latent_rank + shape.rope_length) * _BYTES_PER_NUMBER[load.type_k]
        return int(count * row)
    key = shape.key_length_window if windowed else shape.key_length
    value = shape.value_length_window if windowed else shape.value_length
    per_head = key * _BYTES_PER_NUMBER[load.type_k] + value * _BYTES_PER_NUMBER[load.type_v]
    return int(count * shape.kv_heads_of(layer) * per_head)


def state_bytes(shape: ModelShape, layer: int, load: Load) -> int:
    """Recurrent state of one layer, always in 32-bit numbers."""
    if not shape.is_recurrent(layer):
        return 0
    if not shape.inner_size:
        return 4 * load.slots * (shape.conv_kernel - 1) * shape.width
    convolution = (shape.conv_kernel - 1) * (
        shape.inner_size + 2 * shape.state_groups * shape.state_size
    )
    return 4 * load.slots * (convolution + shape.state_size * shape.inner_size)


def output_bytes(shape: ModelShape, load: Load) -> int:
    """The results of one step, in RAM."""
    width = shape.width if load.embedding and not is_encoder(shape) else 0
    return 4 * load.slots * (shape.vocabulary + width)


def is_encoder(shape: ModelShape) -> bool:
    """Whether the model reads a text at once and remembers nothing of it."""
    return not any(map(shape.has_cache, range(shape.layers))) and not any(shape.recurrent)


def compute_bytes(shape: ModelShape, load: Load) -> int:
    """The scratch memory of one device."""
    # A step looks at each slot's own cells only, when they are not shared.
    streams = 1 if load.unified else load.slots
    tokens = cells(load) // streams
    windows = window_cells(shape, load) // streams if any(shape.windowed) else 0
    if is_encoder(shape):
        tokens = load.ubatch
    elif all(shape.recurrent) and shape.recurrent:
        tokens = 0
    mask = 2 if load.flash_attention else 4
    return load.ubatch * (mask * (tokens + windows) + int(4 * _widest_step(shape, load, tokens)))


def _widest_step(shape: ModelShape, load: Load, tokens: int) -> float:
    """Numbers a token at the step of the graph that needs the most."""
    width = shape.width
    # For embeddings every token is taken to the end, not only the last of each slot.
    results = shape.vocabulary + width if load.embedding and not is_encoder(shape) else 0
    if shape.architecture == "mamba":
        return max(13.1 * width, results)
    attention = _attention(shape)
    if not load.flash_attention:
        attention += tokens * shape.heads
    return max(_feed_forward(shape), attention, _recurrence(shape), results)


def _attention(shape: ModelShape) -> float:
    if shape.is_mla:
        unpacked = max(0, shape.unpacked_key_length - shape.rope_length)
        per_head = 2 * shape.latent_rank + 3 * unpacked + shape.rope_length
        return shape.heads * per_head + 3 * shape.width
    if is_encoder(shape):
        return 6 * shape.width
    return 2.5 * shape.heads * shape.key_length + 3 * shape.width


def _recurrence(shape: ModelShape) -> int:
    if not any(shape.recurrent):
        return 0
    mixed = 2 * shape.state_groups * shape.state_size + shape.inner_size
    return 3 * (mixed + shape.width)


def _feed_forward(shape: ModelShape) -> int:
    width, ff = shape.width, shape.feed_forward
    if is_encoder(shape):
        return ff + 3 * width
    beside = {"qwen35": 3, "phi3": 3, "deepseek2": 6}.get(shape.architecture, 4)
    dense = 3 * ff + beside * width if ff else 0
    if not shape.experts_used:
        return dense
    active = shape.experts_used * shape.expert_feed_forward
    gathered = shape.experts_used * width
    return max(dense, 3 * active + 4 * width + (gathered if gathered > 2 * active else 0))


def projector_scratch(shape: ModelShape) -> int:
    """The scratch memory of a projector while it reads an image, with flash attention.

    Exact for pictures of fixed size in 4,096 patches (Gemma 3: 121.25 MiB). Models that take any
    size, or fewer patches, are counted as if they had as many; the engine takes less for those.
    """
    patches = max(_MOST_PATCHES, shape.trained_context or 0)
    return 4 * patches * (shape.feed_forward + 3 * shape.width)
