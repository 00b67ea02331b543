"""How a file's weights are quantized, told from its tensors and from what its maker wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from models_app.ggml import FILE_TYPES
from models_app.gguf import GgufHeader, TensorInfo

_FULL_SIZE: Final = frozenset({"F32", "F16", "BF16", "F64"})
# Quantizers give these two a finer type, and in a small model they weigh more than all layers.
_ENDS: Final = frozenset({"token_embd.weight", "output.weight"})


def bytes_by_type(tensors: Iterable[TensorInfo]) -> dict[str, int]:
    """Bytes of the tensors by the name of their type, the largest first."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type_name] += tensor.size
    return dict(sizes.most_common())


def quantization_of(header: GgufHeader) -> str:
    """The quantization as the engine writes it ("Q4_K_M"), "" when the file holds no weights.

    `general.file_type` knows the mixtures, but tools that convert a file forget to change it. So it
    holds unless it calls quantized weights full-size or the other way round.
    """
    named = _file_type(header)
    layers = (tensor for tensor in header.tensors if tensor.name not in _ENDS)
    sizes = bytes_by_type(layers) or bytes_by_type(header.tensors)
    if not sizes:
        return named
    main = next(iter(sizes))
    agrees = (named in _FULL_SIZE) == (main in _FULL_SIZE)
    return named if named and agrees else main


def _file_type(header: GgufHeader) -> str:
    number = header.metadata.get("general.file_type")
    return FILE_TYPES.get(number, "") if isinstance(number, int) else ""
