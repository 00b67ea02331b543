"""Writes GGUF files of published shapes without their weights.

The header and the table of tensors are real; the data is a hole in the file. Zero weights load and
serve like any others, so the engine's own figures can be had for models of any size.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Final

from models_app.ggml import TENSOR_TYPES

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Metadata = Mapping[str, Value]

ALIGNMENT: Final = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TYPE_NUMBERS: Final = {kind.name: number for number, kind in TENSOR_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, its shape as the file has it (row length first), its type."""

    name: str
    shape: tuple[int, ...]
    type: str = "F32"

    @property
    def size(self) -> int:
        kind = TENSOR_TYPES[_TYPE_NUMBERS[self.type]]
        return prod(self.shape) // kind.block * kind.size


@dataclass(frozen=True, slots=True)
class SparseModel:
    """A model without weights: what its header says and which tensors it has."""

    name: str
    architecture: str
    metadata: Metadata
    tensors: Sequence[Tensor]
    source: str = ""
    """Where the published numbers can be read."""
    notes: str = field(default="")


def write(path: Path, model: SparseModel) -> Path:
    """Write `model` to `path`, as a hole of the right size after its header."""
    header, total = header_bytes(model)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(total)
    return path


def header_bytes(model: SparseModel) -> tuple[bytes, int]:
    """The file's header, and the size in bytes that the whole file would have."""
    metadata: dict[str, Value] = {
        "general.architecture": model.architecture,
        "general.name": model.name,
        **{key.replace("{arch}", model.architecture): v for key, v in model.metadata.items()},
    }
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(model.tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_text(key), _value(value)]
    offset = 0
    for tensor in model.tensors:
        dimensions = len(tensor.shape)
        number = _TYPE_NUMBERS[tensor.type]
        parts.append(_text(tensor.name))
        parts.append(struct.pack(f"<I{dimensions}QIQ", dimensions, *tensor.shape, number, offset))
        offset += _aligned(tensor.size)
    header = b"".join(parts)
    return header, _aligned(len(header)) + offset


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    kind = _kind(value)
    if kind != _ARRAY:
        return struct.pack("<I", kind) + _plain(value, kind)
    assert isinstance(value, Sequence)
    item_kind = _I32 if isinstance(value[0], int) else _kind(value[0])
    if item_kind == _BOOL or isinstance(value[0], bool):
        item_kind = _BOOL
    head = struct.pack("<IIQ", _ARRAY, item_kind, len(value))
    return head + b"".join(_plain(item, item_kind) for item in value)


def _kind(value: Value) -> int:
    for kind, number in ((bool, _BOOL), (int, _U32), (float, _F32), (str, _STRING)):
        if isinstance(value, kind):
            return number
    return _ARRAY


def _plain(value: Value, kind: int) -> bytes:
    if isinstance(value, str):
        return _text(value)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)
