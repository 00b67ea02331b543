from __future__ import annotations

import pytest

from proxy_app.answer_head import line_of


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ((b"x-one", b"1"), b"x-one: 1\r\n"),
        ((b"X-Mixed-Case", b"As It Is"), b"x-mixed-case: As It Is\r\n"),
        ((b"x-empty", b""), b"x-empty: \r\n"),
        ((b"x-tab", b"a\tb"), b"x-tab: a\tb\r\n"),
        ((b"x-latin", "käse".encode("latin-1")), b"x-latin: k\xe4se\r\n"),
    ],
)
def test_a_header_is_a_line(header: tuple[bytes, bytes], line: bytes) -> None:
    for _ in range(2):  # The second time it comes from what was kept.
        assert line_of(header) == (line, b"")


def test_what_says_how_the_body_is_sent_is_told() -> None:
    for name, value in ((b"Content-Length", b"5"), (b"connection", b"close")):
        assert line_of((name, value))[1] == name.lower()


@pytest.mark.parametrize("text", [b"a\r\nset-cookie: b", b"a\nb", b"a\0b", b"\x7f"])
def test_no_value_begins_another_line(text: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="control character"):
            line_of((b"x-name", text))


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\0", b"\xe4", b"(a)"])
def test_no_name_is_more_than_a_name(name: bytes) -> None:
    with pytest.raises(ValueError, match="no name of a header"):
        line_of((name, b"1"))


def test_what_is_long_is_not_kept() -> None:
    value = b"a" * 60_000
    first = line_of((b"x-long", value))
    assert line_of((b"x-long", value)) == first
    assert line_of((b"x-long", value)) is not first


def test_it_keeps_no_more_than_it_should() -> None:
    for number in range(10_000):
        line = b"x-number: %d\r\n" % number
        assert line_of((b"x-number", b"%d" % number)) == (line, b"")
