"""What a GGUF file says about itself: its metadata and its table of tensors, never the weights.

Reads versions 2 and 3 in both byte orders, in about 20 ms for a vocabulary of 262,144 tokens.
Large arrays are stepped over: only their type and length are kept, and of the list of tokens a
digest, which tells models of one vocabulary from others. The file is read, not mapped,
because a mapped file that shrinks kills the process.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from models_app.gguf_bytes import (
    BadValue,
    Cursor,
    GgufError,
    HeaderTooLarge,
    NotGguf,
    Source,
    TruncatedData,
    TruncatedHeader,
    Unreadable,
    UnsupportedVersion,
    shown,
)
from models_app.gguf_tensors import TensorInfo, lay_out, read_row, round_up

__all__ = [
    "ArrayInfo",
    "BadValue",
    "GgufError",
    "GgufHeader",
    "HeaderTooLarge",
    "NotGguf",
    "Scalar",
    "TensorInfo",
    "TextInfo",
    "TruncatedData",
    "TruncatedHeader",
    "Unreadable",
    "UnsupportedVersion",
    "Value",
    "ValueType",
    "parse_header",
    "read_header",
]

MAX_KEY_VALUES: Final = 65_536
MAX_TENSORS: Final = 131_072
MAX_KEY_BYTES: Final = 65_535  # the format's own limit
MAX_STRING_BYTES: Final = 128 * 1024 * 1024
MAX_ARRAY_ITEMS: Final = 16 * 1024 * 1024
MAX_NESTING: Final = 4

KEPT_TEXT_BYTES: Final = 1024 * 1024  # a longer text is stepped over
KEPT_NUMBERS: Final = 1_024  # arrays up to this many numbers are kept
KEPT_STRINGS: Final = 64  # arrays up to this many strings are kept

DEFAULT_ALIGNMENT: Final = 32

DIGESTED: Final = "tokenizer.ggml.tokens"
"""The array of texts whose bytes, lengths included, are digested on the way."""
DIGEST_BYTES: Final = 16


class ValueType(IntEnum):
    """The format's value types."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_FORMATS: Final = dict(
    zip((t for t in ValueType if t not in (8, 9)), "BbHhIif?Qqd", strict=True)
)  # of the `struct` module


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array that was stepped over. The `digest` is of its bytes, "" where none was made."""

    item_type: ValueType
    length: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class TextInfo:
    """A text that was stepped over, with its length in bytes."""

    length: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | ArrayInfo | TextInfo


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """A whole header. `metadata` keeps the file's order; sizes and offsets are in bytes."""

    version: int
    big_endian: bool
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    file_size: int

    @property
    def parameters(self) -> int:
        """Numbers in all tensors of this file; a split model has more in its other parts."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors of this file, without padding."""
        return sum(tensor.size for tensor in self.tensors)


def read_header(path: Path) -> GgufHeader:
    """The header of the file at `path`. Raises `GgufError` and nothing else."""
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("this is not a regular file")
            return parse_header(file, status.st_size)
    except OSError as error:
        raise Unreadable(f"the file cannot be read: {error.strerror or error}") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0, opener=_without_waiting)
    except ValueError as error:  # a NUL in the path
        raise Unreadable(f"the file cannot be read: {error}") from error


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer, for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_header(file: Source, size: int) -> GgufHeader:
    """The header in `file`, which is `size` bytes long and read from its start.

    Raises `GgufError`, and `OSError` when reading fails. Reads at most
    `gguf_bytes.MAX_BYTES_READ` bytes, each once.
    """
    cursor = Cursor(file, size)
    version = _version(cursor)
    at = cursor.offset
    tensor_count = cursor.u64("the number of tensors")
    key_count = cursor.u64("the number of metadata values")
    _check_count(tensor_count, MAX_TENSORS, "tensors", at)
    _check_count(key_count, MAX_KEY_VALUES, "metadata values", at + 8)
    metadata = _metadata(cursor, key_count)
    alignment = _alignment(metadata)
    rows = [read_row(cursor, number) for number in range(tensor_count)]
    data_offset = round_up(cursor.offset, alignment)
    return GgufHeader(
        version=version,
        big_endian=cursor.order == ">",
        metadata=MappingProxyType(metadata),
        tensors=lay_out(rows, alignment, size - data_offset),
        alignment=alignment,
        data_offset=data_offset,
        file_size=size,
    )


def _version(cursor: Cursor) -> int:
    magic = cursor.take(4, "the magic number")
    if magic != b"GGUF":
        raise NotGguf(f"the file begins with {magic!r} instead of b'GGUF'", 0)
    version = cursor.u32("the version")
    if version and version % 0x10000 == 0:
        cursor.use_byte_order(">")
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise UnsupportedVersion(f"GGUF version {version} is not supported, only 2 and 3 are", 4)
    return version


def _check_count(count: int, limit: int, what: str, at: int) -> None:
    if count > limit:
        raise HeaderTooLarge(f"the file says it has {count:,} {what}, more than {limit:,}", at)


def _metadata(cursor: Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for number in range(count):
        at = cursor.offset
        key = cursor.text(MAX_KEY_BYTES, f"the name of metadata value {number + 1}")
        if not key:
            raise BadValue(f"metadata value {number + 1} has no name", at)
        if key in metadata:
            raise BadValue(f"metadata names {shown(key)} twice", at)
        metadata[key] = _value(cursor, shown(key), digested=key == DIGESTED)
    return metadata


def _value(cursor: Cursor, what: str, *, digested: bool) -> Value:
    kind = _value_type(cursor, what)
    if kind is ValueType.ARRAY:
        return _array(cursor, what, digested=digested)
    if kind is ValueType.STRING:
        return _text(cursor, what)
    return _numbers(cursor, kind, 1, what)[0]


def _value_type(cursor: Cursor, what: str) -> ValueType:
    at = cursor.offset
    number = cursor.u32(f"the type of {what}")
    try:
        return ValueType(number)
    except ValueError:
        raise BadValue(f"{what} has the unknown type {number}", at) from None


def _text(cursor: Cursor, what: str) -> str | TextInfo:
    count = cursor.length(MAX_STRING_BYTES, f"the length of {what}")
    cursor.require(count, what)
    if count <= KEPT_TEXT_BYTES:
        return cursor.text_of(count, what)
    cursor.skip(count, what)
    return TextInfo(count)


def _numbers(cursor: Cursor, kind: ValueType, count: int, what: str) -> tuple[Scalar, ...]:
    layout = struct.Struct(f"{cursor.order}{count}{_FORMATS[kind]}")
    cursor.keep(8 * count, what)
    return layout.unpack(cursor.take(layout.size, what))


def _array(
    cursor: Cursor, what: str, depth: int = 1, *, digested: bool = False
) -> tuple[Scalar, ...] | ArrayInfo:
    """The array at the cursor, kept when it is small and flat."""
    if depth > MAX_NESTING:
        raise HeaderTooLarge(f"{what} nests arrays deeper than {MAX_NESTING}", cursor.offset)
    kind = _value_type(cursor, f"the items of {what}")
    count = cursor.length(MAX_ARRAY_ITEMS, f"the length of {what}")
    if kind is ValueType.ARRAY:
        cursor.count_items(count, what)
        cursor.require(12 * count, what)
        for _ in range(count):
            _array(cursor, what, depth + 1)
    elif kind is ValueType.STRING:
        if count <= KEPT_STRINGS and depth == 1:
            return tuple(cursor.text(KEPT_TEXT_BYTES, what) for _ in range(count))
        return ArrayInfo(kind, count, _skip_strings(cursor, count, what, digested=digested))
    elif count <= KEPT_NUMBERS and depth == 1:
        return _numbers(cursor, kind, count, what)
    else:
        cursor.skip(count * struct.calcsize(f"={_FORMATS[kind]}"), what)
    return ArrayInfo(kind, count)


def _skip_strings(cursor: Cursor, count: int, what: str, *, digested: bool) -> str:
    """Step over strings; their digest where one is wanted."""
    if not digested:
        cursor.skip_strings(count, what)
        return ""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    cursor.skip_strings(count, what, digest)
    return digest.hexdigest()


def _alignment(metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or value & (value - 1):
        raise BadValue("general.alignment is not a power of two")
    return value
