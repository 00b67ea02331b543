from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_app.errors import InvalidRequest
from proxy_app.multipart import LONGEST_VALUE, FieldFinder, boundary_of

BOUNDARY = b"----frontier"


def part(name: str, content: bytes, filename: str = "") -> bytes:
    more = f'; filename="{filename}"' if filename else ""
    return (
        f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
    )


def form(*parts: bytes) -> bytes:
    lines = b"".join(b"--" + BOUNDARY + b"\r\n" + one for one in parts)
    return lines + b"--" + BOUNDARY + b"--\r\n"


def find(body: bytes, *cuts: int) -> FieldFinder:
    finder = FieldFinder(BOUNDARY, b"model")
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(edges):
        finder.feed(body[start:end])
    finder.end()
    return finder


FILE = part("file", b"\r\n--not the boundary" * 100, "audio.wav")


@pytest.mark.parametrize(
    "body",
    [
        form(part("model", b"whisper"), FILE),
        form(FILE, part("model", b"whisper")),
        form(FILE, part("language", b""), part("model", b"whisper"), part("n", b"1")),
        b"a preamble\r\n" + form(part("model", b"whisper")),
        form(part("model", b"whisper")).replace(b'name="model"', b"NAME=model"),
        form(part("model", b"whisper")).replace(b"--\r\n", b"--"),
    ],
)
def test_it_finds_the_field_wherever_it_stands(body: bytes) -> None:
    finder = find(body)
    assert finder.value == b"whisper"
    start, end = finder.span
    assert body[start:end] == b"whisper"


@settings(max_examples=200, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=60), max_size=4),
    place=st.integers(0, 4),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_it_makes_no_difference_how_the_bytes_are_cut(
    contents: list[bytes], place: int, cuts: list[int]
) -> None:
    parts = [part(f"f{number}", content, "x") for number, content in enumerate(contents)]
    parts.insert(place, part("model", b"a/b c"))
    body = form(*parts)
    finder = find(body, *cuts)
    assert finder.value == b"a/b c"
    assert body[slice(*finder.span)] == b"a/b c"


def test_a_form_without_the_field_has_none() -> None:
    assert find(form(FILE)).value is None
    assert find(form(part("other", b"model"), part("xmodel", b"1"))).value is None


def test_a_field_without_content_is_empty() -> None:
    assert find(form(part("model", b""))).value == b""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (form(part("model", b"a"), part("model", b"b")), "twice"),
        (form(FILE)[:-8], "breaks off"),
        (b"no form at all", "breaks off"),
        (form(part("model", b"x" * (LONGEST_VALUE + 1))), "longer than"),
        (form(part("file", b"\r\n--" + BOUNDARY + b"x")), "inside a part"),
        (b"--" + BOUNDARY + b"\r\n" + b"x" * 20_000, "too long"),
        (b"--" + BOUNDARY + b" " * 1000, "does not end"),
    ],
)
def test_what_the_engine_might_read_otherwise_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        find(body)


def test_it_keeps_nothing_of_a_large_file() -> None:
    finder = FieldFinder(BOUNDARY, b"model")
    finder.feed(form(FILE)[:200])
    for _ in range(100):
        finder.feed(b"\r" * 65536)
    assert len(finder._rest) <= len(BOUNDARY) + 4


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; charset=utf-8; BOUNDARY="a b"', b"a b"),
    ],
)
def test_the_boundary_is_read(content_type: bytes, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("tail", [b"", b"; boundary=", b"; boundary=" + b"x" * 71])
def test_a_missing_or_impossible_boundary_is_refused(tail: bytes) -> None:
    with pytest.raises(InvalidRequest):
        boundary_of(b"multipart/form-data" + tail)
