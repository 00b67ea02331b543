from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy_app import journal
from proxy_app.journal import Journal, read_from, segments
from tests.unit.test_records import line


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "journal")
    writer.append([line(number=1), line(number=2)])
    [segment] = segments(tmp_path / "journal")
    lines, end = read_from(segment, 0)
    assert [item.number for item in lines] == [1, 2]
    assert end == segment.stat().st_size
    writer.append([line(number=3)])
    assert [item.number for item in read_from(segment, end)[0]] == [3]


def test_it_is_there_when_the_process_is_gone_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Journal(tmp_path).append([line(number=7)])
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    [segment] = segments(tmp_path)
    assert [item.number for item in read_from(segment, 0)[0]] == [7]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.append([line(number=1), line(number=2)])
    [segment] = segments(tmp_path)
    data = segment.read_bytes()
    segment.write_bytes(data[:-5])
    lines, end = read_from(segment, 0)
    assert [item.number for item in lines] == [1]
    segment.write_bytes(data)
    assert [item.number for item in read_from(segment, end)[0]] == [2]


def test_a_line_that_cannot_be_read_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Journal(tmp_path)
    writer.append([line(number=1)])
    [segment] = segments(tmp_path)
    with segment.open("ab") as file:
        file.write(b'["not", "a line"]\n')
    writer.append([line(number=2)])
    assert [item.number for item in read_from(segment, 0)[0]] == [1, 2]
    assert "left out" in caplog.text


def test_a_line_longer_than_a_bunch_is_read_whole(tmp_path: Path) -> None:
    """What came before and after it would be lost with it."""
    writer = Journal(tmp_path)
    writer.append([line(number=1), line(number=2, figures="x" * 200_000), line(number=3)])
    (segment,) = segments(tmp_path)
    offset, seen = 0, []
    while True:
        lines, end = read_from(segment, offset, 64)
        if end == offset:
            break
        seen += [one.number for one in lines]
        offset = end
    assert seen == [1, 2, 3]
    assert offset == segment.stat().st_size


def test_a_full_segment_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 100)
    writer = Journal(tmp_path)
    for number in range(3):
        writer.append([line(number=number)])
    assert len(segments(tmp_path)) == 3
    assert segments(tmp_path)[-1] == writer.segment


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").append([line()])
    [segment] = segments(tmp_path / "journal")
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700
