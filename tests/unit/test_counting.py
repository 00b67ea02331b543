from __future__ import annotations

import pytest

from proxy_app.counting import counts_of, range_of
from proxy_app.entries import entry_of
from tests.unit.test_records import line


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (1, "1"), (300, "300"), (301, "+Inf")],
)
def test_a_duration_falls_into_one_range(seconds: float, label: str) -> None:
    assert range_of(seconds) == label


def test_each_request_counts_once_in_each_class() -> None:
    entries = [entry_of(line()), entry_of(line(status=502)), entry_of(line(first=None))]
    counts = counts_of(entries)
    assert counts[("fox-q8", "status", "200")] == (2, 0.0)
    assert counts[("fox-q8", "status", "502")] == (1, 0.0)
    assert counts[("fox-q8", "request", "5")] == (3, 9.0)
    assert counts[("fox-q8", "first_token", "1")] == (2, 2.0)


def test_loads_are_counted_only_where_there_was_one() -> None:
    assert not any(name == "load" for _, name, _ in counts_of([entry_of(line())]))
    loaded = counts_of([entry_of(line(granted=2.0, loading=2.0))])
    assert loaded[("fox-q8", "load", "2.5")] == (1, 2.0)
