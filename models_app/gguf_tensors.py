"""The tensor table of a GGUF header: names, shapes, types, sizes, and whether the data is there."""

from __future__ import annotations

import struct
from math import prod
from typing import Final, NamedTuple

from models_app.ggml import TENSOR_TYPES
from models_app.gguf_bytes import BadValue, Cursor, TruncatedData, shown

MAX_TENSOR_NAME_BYTES: Final = 1_024
MAX_DIMENSIONS: Final = 4
MAX_ELEMENTS: Final = 2**63 - 1  # of one tensor, as in the engine


class TensorInfo(NamedTuple):
    """One row of the tensor table. `offset` counts from where the file's data begins.

    `size` is in bytes, without padding. For a type younger than our table it is the room that the
    file gives the tensor.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    size: int

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        return prod(self.shape)

    @property
    def type_name(self) -> str:
        """The type as the engine writes it, "type 99" for an unknown one."""
        known = TENSOR_TYPES.get(self.type)
        return known.name if known else f"type {self.type}"


class TensorRow(NamedTuple):
    """A row as it stands in the file, at byte `at`; nothing is known of its size yet."""

    at: int
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


def read_row(cursor: Cursor, number: int) -> TensorRow:
    """The row at the cursor, the table's row `number` counted from 0."""
    at = cursor.offset
    name = cursor.text(MAX_TENSOR_NAME_BYTES, f"the name of tensor {number + 1}")
    what = f"tensor {shown(name)}"
    dimensions = cursor.u32(f"the shape of {what}")
    if dimensions > MAX_DIMENSIONS:
        raise BadValue(f"{what} has {dimensions:,} dimensions, more than {MAX_DIMENSIONS}", at)
    layout = struct.Struct(f"{cursor.order}{dimensions}QIQ")
    *shape, kind, offset = layout.unpack(cursor.take(layout.size, what))
    if prod(shape) > MAX_ELEMENTS:
        raise BadValue(f"{what} has an impossible shape", at)
    return TensorRow(at, name, tuple(shape), kind, offset)


def lay_out(rows: list[TensorRow], alignment: int, room: int) -> tuple[TensorInfo, ...]:
    """The tensors with their sizes, where `room` bytes of data follow the header.

    The engine wants each tensor to begin where the one before it ends, rounded up to `alignment`
    bytes; so do we. Raises `BadValue` and `TruncatedData`.
    """
    if len({row.name for row in rows}) < len(rows):
        raise BadValue("two tensors have the same name")
    begins = [*(row.offset for row in rows), room]
    tensors = []
    begin = 0
    for row, end in zip(rows, begins[1:], strict=True):
        if row.offset != begin:
            what = f"tensor {shown(row.name)}"
            raise BadValue(f"{what} begins at {row.offset:,} instead of {begin:,}", row.at)
        size = _size(row, end)
        tensors.append(TensorInfo(row.name, row.shape, row.type, row.offset, size))
        begin = round_up(begin + size, alignment)
    if tensors:
        _check_end(tensors, room)
    return tuple(tensors)


def _size(row: TensorRow, end: int) -> int:
    kind = TENSOR_TYPES.get(row.type)
    if kind is None:
        return max(0, end - row.offset)
    if row.shape and row.shape[0] % kind.block:
        raise BadValue(
            f"tensor {shown(row.name)} has rows of {row.shape[0]:,} numbers, which {kind.name} "
            f"cannot store in blocks of {kind.block}",
            row.at,
        )
    return prod(row.shape) // kind.block * kind.size


def _check_end(tensors: list[TensorInfo], room: int) -> None:
    missing = tensors[-1].offset + tensors[-1].size - max(0, room)
    if missing > 0:
        first = next(tensor for tensor in tensors if tensor.offset + tensor.size > room)
        raise TruncatedData(
            f"the file is incomplete: {missing:,} bytes are missing, "
            f"from tensor {shown(first.name)} on"
        )


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple
