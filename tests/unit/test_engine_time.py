from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_app.engine_time import EngineTime


def test_a_request_alone_has_all_of_its_time() -> None:
    time = EngineTime()
    mark = time.begin(10)
    assert time.end(mark, 12.5) == 2.5


def test_two_at_once_have_half_each() -> None:
    time = EngineTime()
    first = time.begin(0)
    second = time.begin(2)
    assert time.end(first, 4) == 3
    assert time.end(second, 5) == 2


def test_time_in_which_nothing_was_asked_is_nobodys() -> None:
    time = EngineTime()
    time.end(time.begin(0), 1)
    assert time.end(time.begin(100), 101) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=30))
def test_the_shares_add_up_to_the_time_that_was_worked(spans: list[tuple[float, float]]) -> None:
    moments = [(start, index, True) for index, (start, _) in enumerate(spans)]
    moments += [(start + length, index, False) for index, (start, length) in enumerate(spans)]
    moments.sort(key=lambda moment: (moment[0], not moment[2]))
    time, marks, shares, busy, serving, last = EngineTime(), {}, 0.0, 0.0, 0, 0.0
    for now, index, begins in moments:
        busy += now - last if serving else 0
        last = now
        serving += 1 if begins else -1
        if begins:
            marks[index] = time.begin(now)
        else:
            shares += time.end(marks[index], now)
    assert shares == pytest.approx(busy, abs=1e-6)
