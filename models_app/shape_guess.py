"""A shape for files that were scanned before shapes were kept."""

from __future__ import annotations

from models_app.facts import FileFacts
from models_app.shape import LayerBytes, ModelShape
from models_app.shape_reader import ENCODERS, WINDOW_PERIODS, stretch, windows_by_period


def guess_shape(facts: FileFacts, file_size: int) -> ModelShape:
    """A shape for a file whose header was not kept: layers of equal size, marked as not exact."""
    layers = facts.block_count or 0
    total = facts.tensor_bytes or file_size
    windows = facts.sliding_window_layers or windows_by_period(
        facts.sliding_window_period or WINDOW_PERIODS.get(facts.architecture, 0), layers
    )
    return ModelShape(
        architecture=facts.architecture,
        layers=layers,
        width=facts.embedding_length or 0,
        vocabulary=facts.vocabulary or 0,
        trained_context=facts.context_length,
        feed_forward=facts.feed_forward_length or 0,
        heads=facts.head_count or 0,
        kv_heads=() if facts.architecture in ENCODERS else stretch(facts.kv_heads, layers),
        key_length=facts.key_length or 0,
        value_length=facts.value_length or 0,
        key_length_window=facts.key_length or 0,
        value_length_window=facts.value_length or 0,
        window=facts.sliding_window or 0,
        windowed=windows,
        experts=facts.expert_count or 0,
        experts_used=facts.expert_used_count or 0,
        layer_bytes=(LayerBytes(dense=total // (layers + 1)),) * layers,
        output=LayerBytes(dense=total // (layers + 1)),
        exact=False,
    )
