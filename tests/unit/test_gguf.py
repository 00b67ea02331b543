from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFValueType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app import gguf
from models_app.facts import facts_of
from models_app.gguf import (
    ArrayInfo,
    BadValue,
    GgufError,
    GgufHeader,
    HeaderTooLarge,
    NotGguf,
    TextInfo,
    TruncatedData,
    TruncatedHeader,
    Unreadable,
    UnsupportedVersion,
    Value,
    ValueType,
    parse_header,
    read_header,
)
from models_app.gguf_bytes import CHUNK_BYTES, MAX_BYTES_READ, MAX_HEADER_BYTES, MAX_WALKED_ITEMS
from tests.ggufs import cut, patch, write_gguf, write_reciter

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def text(value: str | bytes, order: str = "<") -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(f"{order}Q", len(data)) + data


def pair(key: str, kind: int, value: bytes, order: str = "<") -> bytes:
    return text(key, order) + struct.pack(f"{order}I", kind) + value


def array(kind: int, count: int, items: bytes = b"", order: str = "<") -> bytes:
    return struct.pack(f"{order}IQ", kind, count) + items


def row(name: str, shape: tuple[int, ...], kind: int, offset: int, order: str = "<") -> bytes:
    layout = f"{order}I{len(shape)}QIQ"
    return text(name, order) + struct.pack(layout, len(shape), *shape, kind, offset)


def header_bytes(
    *pairs: bytes, rows: tuple[bytes, ...] = (), version: int = 3, order: str = "<"
) -> bytes:
    counts = struct.pack(f"{order}IQQ", version, len(rows), len(pairs))
    return b"GGUF" + counts + b"".join(pairs) + b"".join(rows)


def padded(data: bytes, data_size: int, alignment: int = 32) -> bytes:
    return data + bytes(-len(data) % alignment + data_size)


def parse(data: bytes) -> GgufHeader:
    return parse_header(io.BytesIO(data), len(data))


class CountingFile:
    """A file that counts the bytes read from it and checks that none is read twice."""

    def __init__(self, file: io.BytesIO | io.FileIO) -> None:
        self._file = file
        self.bytes_read = 0
        self._end = 0

    def seek(self, offset: int, /) -> int:
        assert offset >= self._end
        return self._file.seek(offset)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size) or b""
        self.bytes_read += len(data)
        self._end = self._file.tell()
        return data


SCALARS: list[tuple[int, str, Value]] = [
    (0, "B", 200),
    (1, "b", -3),
    (2, "H", 60_000),
    (3, "h", -30_000),
    (4, "I", 4_000_000_000),
    (5, "i", -2_000_000_000),
    (6, "f", 0.5),
    (7, "?", True),
    (10, "Q", 2**64 - 1),
    (11, "q", -(2**63)),
    (12, "d", 1e300),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
def test_it_reads_every_value_type_in_both_byte_orders(version: int, order: str) -> None:
    pairs = [
        pair(f"k{kind}", kind, struct.pack(order + code, value), order)
        for kind, code, value in SCALARS
    ]
    pairs.append(pair("text", 8, text("naïve", order), order))
    header = parse(header_bytes(*pairs, version=version, order=order))
    expected = {f"k{kind}": value for kind, _, value in SCALARS} | {"text": "naïve"}
    assert header.metadata == expected
    assert (header.version, header.big_endian) == (version, order == ">")


@pytest.mark.parametrize("order", ["<", ">"])
def test_it_reads_the_tensor_table_in_both_byte_orders(order: str) -> None:
    rows = (
        row("a", (32, 3), 8, 0, order),  # Q8_0: 3 blocks of 34 bytes, 128 with padding
        row("b", (5,), 0, 128, order),
        row("c", (), 1, 160, order),
    )
    header = parse(padded(header_bytes(rows=rows, order=order), 162))
    assert [(t.name, t.shape, t.type_name, t.size) for t in header.tensors] == [
        ("a", (32, 3), "Q8_0", 102),
        ("b", (5,), "F32", 20),
        ("c", (), "F16", 2),
    ]
    assert header.parameters == 102
    assert header.tensor_bytes == 124
    assert header.data_offset % 32 == 0


def test_small_arrays_are_kept_and_large_ones_stepped_over() -> None:
    header = parse(
        header_bytes(
            pair("few", 9, array(5, 3, struct.pack("<3i", 1, -2, 3))),
            pair("most", 9, array(0, 1024, bytes(1024))),
            pair("many", 9, array(0, 1025, bytes(1025))),
            pair("words", 9, array(8, 2, text("a") + text("bc"))),
            pair("tokens", 9, array(8, 65, text("ab") * 65)),
            pair("none", 9, array(6, 0)),
            pair("last", 7, b"\1"),
        )
    )
    assert header.metadata == {
        "few": (1, -2, 3),
        "most": (0,) * 1024,
        "many": ArrayInfo(ValueType.UINT8, 1025),
        "words": ("a", "bc"),
        "tokens": ArrayInfo(ValueType.STRING, 65),
        "none": (),
        "last": True,
    }


def test_nested_arrays_are_stepped_over() -> None:
    inner = array(4, 2, bytes(8)) + array(8, 1, text("x")) + array(9, 1, array(7, 1, b"\1"))
    header = parse(header_bytes(pair("deep", 9, array(9, 3, inner)), pair("last", 0, b"\7")))
    assert header.metadata == {"deep": ArrayInfo(ValueType.ARRAY, 3), "last": 7}


def test_a_long_text_is_stepped_over() -> None:
    size = gguf.KEPT_TEXT_BYTES + 1
    header = parse(header_bytes(pair("long", 8, text(bytes(size))), pair("last", 0, b"\7")))
    assert header.metadata == {"long": TextInfo(size), "last": 7}


def test_text_that_is_not_utf8_becomes_replacement_characters() -> None:
    header = parse(header_bytes(pair("name", 8, text(b"a\xff\xfeb"))))
    assert header.metadata["name"] == "a\ufffd\ufffdb"


@settings(UNHURRIED, max_examples=50)
@given(
    st.lists(st.sampled_from([0, 1, 7, 300, CHUNK_BYTES - 8, CHUNK_BYTES, 3_000_000]), max_size=6)
)
def test_strings_of_any_length_are_stepped_over_exactly(lengths: list[int]) -> None:
    items = b"".join(text(bytes(length)) for length in lengths) + text("x") * 65
    tokens = pair("tokens", 9, array(8, len(lengths) + 65, items))
    data = header_bytes(tokens, pair("last", 4, b"\1\2\3\4"))
    file = CountingFile(io.BytesIO(data))
    assert parse_header(file, len(data)).metadata["last"] == 0x04030201
    assert file.bytes_read <= len(data)


@settings(UNHURRIED, max_examples=30)
@given(
    st.lists(st.sampled_from([0, 1, 40, CHUNK_BYTES - 60, CHUNK_BYTES, 3_000_000]), max_size=4),
    st.integers(1, 5000),
)
def test_a_digest_takes_in_all_tokens_wherever_they_lie(long: list[int], before: int) -> None:
    lengths = [*long, *range(65)]
    items = b"".join(text(bytes([n % 251]) * n) for n in lengths)
    tokens = pair(gguf.DIGESTED, 9, array(8, len(lengths), items))
    moved = parse(header_bytes(pair("before", 8, text("x" * before)), tokens, pair("z", 7, b"\1")))
    plain = hashlib.blake2b(items, digest_size=gguf.DIGEST_BYTES).hexdigest()
    assert moved.metadata[gguf.DIGESTED] == ArrayInfo(ValueType.STRING, len(lengths), plain)
    assert moved.metadata["z"] is True


RUNS = st.tuples(
    st.sampled_from([0, 1, 6, 63, 64, 65, 255, 256, 70_000]), st.sampled_from([1, 700, 1500, 4000])
)


@pytest.mark.parametrize("order", ["<", ">"])
@settings(UNHURRIED, max_examples=25)
@given(runs=st.lists(RUNS.filter(lambda run: run[0] < 70_000 or run[1] == 1), max_size=6))
def test_blocks_of_short_strings_and_long_ones_between_them_are_stepped_over_exactly(
    order: str, runs: list[tuple[int, int]]
) -> None:
    items = b"".join(text(b"\x06" * length, order) * count for length, count in runs)
    count = 65 + sum(count for _, count in runs)
    tokens = pair(gguf.DIGESTED, 9, array(8, count, items + text("x", order) * 65, order), order)
    last = pair("last", 4, struct.pack(f"{order}I", 7), order)
    header = parse(header_bytes(tokens, last, order=order))
    assert header.metadata["last"] == 7
    plain = hashlib.blake2b(items + text("x", order) * 65, digest_size=gguf.DIGEST_BYTES)
    assert header.metadata[gguf.DIGESTED] == ArrayInfo(ValueType.STRING, count, plain.hexdigest())


def test_it_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    path = write_reciter(tmp_path / "model.gguf", "To be, or not to be.")
    ours, theirs = read_header(path), GGUFReader(path)
    assert ours.data_offset == theirs.data_offset
    assert ours.metadata.keys() == {key for key in theirs.fields if not key.startswith("GGUF.")}
    assert [(t.name, t.shape, t.size, t.offset + ours.data_offset) for t in ours.tensors] == [
        (t.name, tuple(t.shape), t.n_bytes, t.data_offset) for t in theirs.tensors
    ]
    assert ours.parameters == sum(int(t.n_elements) for t in theirs.tensors)


def test_it_respects_the_alignment_of_the_file(tmp_path: Path) -> None:
    aligned = pair("general.alignment", 4, struct.pack("<I", 4096))
    rows = (row("a", (1,), 0, 0), row("b", (1,), 0, 4096))
    header = parse(padded(header_bytes(aligned, rows=rows), 4100, 4096))
    assert (header.alignment, header.data_offset) == (4096, 4096)


def test_a_tensor_of_an_unknown_type_gets_the_room_it_has() -> None:
    rows = (row("new", (7,), 999, 0), row("b", (1,), 0, 64))
    header = parse(padded(header_bytes(rows=rows), 68))
    assert [tensor.size for tensor in header.tensors] == [64, 4]
    assert header.tensors[0].type_name == "type 999"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedHeader, "ends after 0 bytes"),
        (b"GG", TruncatedHeader, "magic number"),
        (b"PK\3\4....", NotGguf, r"b'PK\\x03\\x04'"),
        (b"<!DOCTYPE html>", NotGguf, "begins with"),
        (header_bytes(version=1), UnsupportedVersion, "version 1"),
        (header_bytes(version=4), UnsupportedVersion, "version 4"),
        (header_bytes(version=0), UnsupportedVersion, "version 0"),
        (header_bytes()[:20], TruncatedHeader, "number of metadata values"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**63, 0), HeaderTooLarge, "tensors"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**32), HeaderTooLarge, "metadata values"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 1), TruncatedHeader, "name of metadata value 1"),
        (header_bytes(pair("", 0, b"\0")), BadValue, "no name"),
        (header_bytes(pair("k", 0, b"\0"), pair("k", 0, b"\0")), BadValue, "'k' twice"),
        (header_bytes(pair("k", 13, bytes(8))), BadValue, "unknown type 13"),
        (header_bytes(pair("k", 9, array(77, 1, bytes(9)))), BadValue, "unknown type 77"),
        (header_bytes(pair("k", 9, array(9, 1) * 6)), HeaderTooLarge, "deeper than 4"),
        (header_bytes(pair("k", 9, array(4, 2**63))), HeaderTooLarge, "9,223,372"),
        (header_bytes(pair("k", 9, array(4, 2000))), TruncatedHeader, "8,000 bytes"),
        (header_bytes(pair("k", 9, array(8, 2**20))), TruncatedHeader, "bytes more"),
        (header_bytes(pair("k", 8, struct.pack("<Q", 2**64 - 1))), HeaderTooLarge, "length of"),
        (header_bytes(pair("k", 8, struct.pack("<Q", 99))), TruncatedHeader, "'k' needs 99"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**40), HeaderTooLarge, "name of"),
        (header_bytes(pair("general.alignment", 4, bytes(4))), BadValue, "power of two"),
        (header_bytes(pair("general.alignment", 8, text("32"))), BadValue, "power of two"),
        (header_bytes(rows=(row("t", (1,) * 5, 0, 0),)), BadValue, "5 dimensions"),
        (header_bytes(rows=(row("t", (2**40, 2**40), 0, 0),)), BadValue, "impossible shape"),
        (header_bytes(rows=(row("t", (33,), 8, 0),)), BadValue, "blocks of 32"),
        (header_bytes(rows=(row("t", (1,), 0, 0),) * 2), BadValue, "same name"),
        (header_bytes(rows=(row("t", (1,), 0, 32),)), BadValue, "begins at 32 instead of 0"),
        (header_bytes(rows=(row("t", (1,), 0, 0),)), TruncatedData, "missing, from tensor 't'"),
        (header_bytes(rows=(row("t", (1,), 0, 0)[:-1],)), TruncatedHeader, "tensor 't'"),
    ],
)
def test_what_is_wrong_has_a_name_and_a_place(
    data: bytes, error: type[GgufError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(data)
    assert caught.value.offset is None or f"{caught.value.offset:,}" in str(caught.value)


def test_a_string_that_leads_past_the_file_is_named() -> None:
    items = text("ab") * 100 + struct.pack("<Q", 2**64 - 1) + text("ab") * 100
    with pytest.raises(TruncatedHeader):
        parse(header_bytes(pair("k", 9, array(8, 201, items))))


def test_the_error_says_where(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", "llama", {"llama.block_count": 1}, {})
    at = path.read_bytes().index(b"llama.block_count") + len("llama.block_count")
    patch(path, at, struct.pack("<I", 99))
    with pytest.raises(BadValue) as caught:
        read_header(path)
    assert caught.value.offset == at


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = cut(write_reciter(tmp_path / "model.gguf", "To be, or not to be."), -100)
    with pytest.raises(TruncatedData, match="100 bytes are missing"):
        read_header(path)


def test_a_file_cut_at_any_byte_of_its_header_is_named(tmp_path: Path) -> None:
    data = write_gguf(tmp_path / "m.gguf", "llama", {"a": 1, "b": "text", "c": [1, 2]}, {})
    whole = data.read_bytes()
    for size in range(len(whole.rstrip(b"\0"))):
        with pytest.raises(TruncatedHeader):
            parse(whole[:size])


def test_what_is_no_regular_file_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path / "pipe.gguf", tmp_path, tmp_path / "absent", tmp_path / "a\0b"):
        with pytest.raises(Unreadable):
            read_header(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_folder_with_a_models_name_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(Unreadable):
            read_header(tmp_path)
    assert len(os.listdir("/proc/self/fd")) < before + 20


def test_a_file_that_shrinks_while_it_is_read_is_named() -> None:
    data = header_bytes(pair("k", 8, text("some text")))
    with pytest.raises(TruncatedHeader, match="became shorter"):
        parse_header(io.BytesIO(data[:-5]), len(data))


def test_values_beyond_the_bound_are_refused() -> None:
    pairs = [pair(f"k{number}", 8, text(bytes(gguf.KEPT_TEXT_BYTES))) for number in range(17)]
    with pytest.raises(HeaderTooLarge, match="bytes of values"):
        parse(header_bytes(*pairs))


def sparse(path: Path, *parts: tuple[int, bytes], size: int = 2**33) -> Path:
    """Write a file of zeros with some parts that are not, by offset."""
    with path.open("wb") as file:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return path


def bytes_read_until_too_large(path: Path) -> int:
    with io.FileIO(path) as file:
        counting = CountingFile(file)
        with pytest.raises(HeaderTooLarge):
            parse_header(counting, path.stat().st_size)
    return counting.bytes_read


def test_an_array_of_empty_strings_ends_at_the_bound_of_items(tmp_path: Path) -> None:
    tokens = pair("a", 9, array(8, gguf.MAX_ARRAY_ITEMS))
    more = pair("b", 9, array(8, MAX_WALKED_ITEMS))
    first = header_bytes(tokens, b"")
    path = sparse(tmp_path / "m.gguf", (0, first), (len(first) + 8 * gguf.MAX_ARRAY_ITEMS, more))
    assert bytes_read_until_too_large(path) <= MAX_BYTES_READ


def test_a_huge_header_ends_at_its_bound_with_little_read(tmp_path: Path) -> None:
    size = gguf.MAX_STRING_BYTES
    first = header_bytes(pair("a", 8, struct.pack("<Q", size)), *[b""] * 3)
    parts = [(0, first)]
    for number, key in enumerate("bc"):
        begin = len(first) + size if number == 0 else parts[-1][0] + len(parts[-1][1]) + size
        parts.append((begin, pair(key, 8, struct.pack("<Q", size))))
    path = sparse(tmp_path / "m.gguf", *parts)
    assert path.stat().st_size > MAX_HEADER_BYTES
    assert bytes_read_until_too_large(path) <= 3 * CHUNK_BYTES


HOSTILE_NUMBERS = [0, 1, 12, 2**16, 2**20, 2**24, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    extra = {
        "general.tags": ["one", "two"],
        "llama.attention.sliding_window_pattern": [True, False] * 8,
        "general.sampling.temp": 0.5,
        "wide": (2**40, GGUFValueType.UINT64),
    }
    path = tmp_path_factory.mktemp("mutations") / "m.gguf"
    return write_reciter(path, "To be, or not to be.", metadata=extra).read_bytes()


# The two tests below make 2,000 hostile files. Whatever is in one, at most its own bytes are read,
# each once, and since every item takes a byte at least, no more items are parsed than it has bytes.
# The tests above show the bounds that hold for large files: `MAX_BYTES_READ`, `MAX_WALKED_ITEMS`.
@settings(UNHURRIED, max_examples=1400)
@given(data=st.data())
def test_hostile_changes_give_a_header_or_a_named_error(
    whole_file: bytes, data: st.DataObject
) -> None:
    changed = bytearray(whole_file)
    header_end = whole_file.index(b"output.weight") + 64
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(header_end, len(changed) - 1)))
        match data.draw(st.sampled_from(["flip", "number", "small", "cut", "remove", "insert"])):
            case "flip":
                changed[at] ^= 1 << data.draw(st.integers(0, 7))
            case "number":
                changed[at : at + 8] = struct.pack(
                    "<Q", data.draw(st.sampled_from(HOSTILE_NUMBERS))
                )
            case "small":
                changed[at : at + 4] = struct.pack("<I", data.draw(st.integers(0, 20)))
            case "cut":
                del changed[max(at, 1) :]
            case "remove":
                del changed[at : at + data.draw(st.integers(1, 16))]
                changed = changed or bytearray(b"G")
            case "insert":
                changed[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    read_within_bounds(bytes(changed))


@settings(UNHURRIED, max_examples=600)
@given(st.binary(max_size=400), st.sampled_from([2, 3]), st.integers(0, 5), st.integers(0, 5))
def test_random_bytes_give_a_header_or_a_named_error(
    noise: bytes, version: int, tensors: int, values: int
) -> None:
    read_within_bounds(struct.pack("<4sIQQ", b"GGUF", version, tensors, values) + noise)


def items_of(header: GgufHeader) -> int:
    """Values, tensors and items of arrays that were looked at, stepped over or not."""
    arrays = [value for value in header.metadata.values() if isinstance(value, tuple | ArrayInfo)]
    lengths = (one.length if isinstance(one, ArrayInfo) else len(one) for one in arrays)
    return len(header.metadata) + len(header.tensors) + sum(lengths)


def read_within_bounds(data: bytes) -> None:
    file = CountingFile(io.BytesIO(data))
    try:
        header = parse_header(file, len(data))
    except GgufError as error:
        assert str(error)
        assert error.offset is None or 0 <= error.offset <= len(data)
    else:
        assert header.data_offset >= 24
        assert header.tensor_bytes <= len(data)
        assert items_of(header) <= len(data)
        facts_of(header, "model.gguf")
    assert file.bytes_read <= len(data)
