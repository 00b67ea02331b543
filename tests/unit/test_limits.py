"""Buckets and quotas, by plain calls."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_app import limits
from proxy_app.limit_headers import _lines, headers_in, lines_of_first
from proxy_app.limits import Account, Limits, Spent

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 2, 1, tzinfo=UTC).timestamp()


def account(**chosen: int) -> Account:
    return Account(Limits(**chosen))


def refused(one: Account, now: float = 0, today: float = NOON) -> limits.Refusal:
    refusal = limits.admit((one,), now, today)
    assert refusal is not None
    return refusal


@pytest.mark.parametrize("start", [0, 1.1, 123_456.789, 7_654_321.123])
@pytest.mark.parametrize("limit", [1, 3, 7, 60, 6000])
def test_it_lets_a_minutes_requests_in_at_once_and_then_one_by_one(
    start: float, limit: int
) -> None:
    one, pause = account(requests_per_minute=limit), 60 / limit
    for left in range(limit, 0, -1):
        standing = limits.standings(one, start, NOON)[0]
        assert standing is not None and standing[:2] == (limit, left)
        assert limits.admit((one,), start, NOON) is None
    refusal = refused(one, start)
    assert (refusal.what, refusal.limit) == ("requests a minute", limit)
    assert refusal.retry_after == pytest.approx(pause, rel=limits.ROUNDED)
    assert refused(one, start + 0.9 * pause).retry_after == pytest.approx(0.1 * pause, rel=0.1)
    assert limits.admit((one,), start + pause, NOON) is None
    assert refused(one, start + pause).retry_after == pytest.approx(pause, rel=limits.ROUNDED)


def test_a_refused_request_uses_nothing_up() -> None:
    one = account(requests_per_minute=1, parallel=1)
    assert limits.admit((one,), 0, NOON) is None
    assert refused(one, 60).what == "requests at a time"
    limits.end((one,))
    assert limits.admit((one,), 60, NOON) is None


def test_tokens_are_owed_until_the_bucket_is_above_nothing_again() -> None:
    one = account(tokens_per_minute=600)
    assert limits.admit((one,), 0, NOON) is None
    limits.charge([one], [650], 0, NOON)
    assert refused(one).retry_after == pytest.approx(5.1)
    assert limits.admit((one,), 5.11, NOON) is None


@pytest.mark.parametrize("limit", ["tokens_per_day", "tokens_per_month"])
def test_a_quota_is_whole_again_when_its_period_begins(limit: str) -> None:
    one = account(**{limit: 100})
    assert limits.admit((one,), 0, NOON) is None
    limits.charge([one], [100], 0, NOON)
    assert refused(one).retry_after == MIDNIGHT - NOON
    assert limits.admit((one,), 0, MIDNIGHT) is None


def test_on_a_months_last_day_what_the_month_used_is_not_the_days() -> None:
    one = account(tokens_per_day=1000, tokens_per_month=10**6)
    limits.begin_periods(one, NOON)
    limits.take_over(one, Spent(10, MIDNIGHT), Spent(500_000, MIDNIGHT))
    assert (one.day_tokens, one.month_tokens) == (10, 500_000)
    limits.take_over(one, Spent(20, MIDNIGHT - 86400), Spent(0, MIDNIGHT))
    assert (one.day_tokens, one.month_tokens) == (10, 500_000)


def test_a_months_quota_outlasts_the_day() -> None:
    one = account(tokens_per_month=100)
    start = datetime(2026, 2, 3, 12, tzinfo=UTC).timestamp()
    limits.begin_periods(one, start)
    limits.charge([one], [100], 0, start)
    assert refused(one, today=start + 86400).what == "tokens a month"
    assert limits.month_end(start) == datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def test_it_tells_of_the_limit_of_which_the_least_is_left() -> None:
    one = account(tokens_per_minute=1000, tokens_per_day=1200)
    limits.begin_periods(one, NOON)
    one.day_tokens = 900
    assert limits.standings(one, 0, NOON)[1] == (1200, 300, MIDNIGHT - NOON)


def test_of_two_quotas_that_are_passed_the_days_is_told() -> None:
    one = account(tokens_per_day=100, tokens_per_month=200)
    limits.charge([one], [900], 0, NOON)
    assert limits.standings(one, 0, NOON)[1] == (100, 0, MIDNIGHT - NOON)


def test_a_larger_share_counts_as_several_callers_in_turn() -> None:
    one = account(share=3)
    assert [limits.next_lane(one) for _ in range(4)] == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.25, "250ms"), (7, "7s"), (360, "6m0s"), (3661, "1h1m1s")],
)
def test_durations_read_as_openais_do(seconds: float, text: str) -> None:
    assert limits.duration(seconds) == text


@given(
    limit=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), max_size=60),
)
def test_no_span_of_time_sees_more_than_a_full_bucket_and_what_flowed_in(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    one, now, let_in = account(requests_per_minute=limit), 0.0, 0
    for pause, tries in steps:
        now += pause
        for _ in range(tries):
            let_in += limits.admit((one,), now, NOON) is None
        assert let_in <= limit + now * limit / limits.MINUTE + limits.ROUNDED


@given(
    limit=st.integers(1, 10_000),
    charges=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5000)), max_size=40),
)
def test_waiting_as_long_as_told_is_always_enough(
    limit: int, charges: list[tuple[float, int]]
) -> None:
    one, now = account(tokens_per_minute=limit), 0.0
    for pause, tokens in charges:
        now += pause
        refusal = limits.admit((one,), now, NOON)
        if refusal is not None:
            now += refusal.retry_after + 1e-6
            assert limits.admit((one,), now, NOON) is None
        limits.end((one,))
        limits.charge([one], [tokens], now, NOON)


@given(
    chosen=st.fixed_dictionaries(
        {
            "requests_per_minute": st.integers(0, 5),
            "tokens_per_minute": st.integers(0, 400),
            "tokens_per_day": st.integers(0, 900),
            "tokens_per_month": st.integers(0, 1500),
            "parallel": st.integers(0, 3),
        }
    ),
    steps=st.lists(
        st.tuples(st.floats(0, 40), st.integers(0, 300), st.booleans(), st.booleans()), max_size=40
    ),
)
def test_one_look_finds_whatever_limit_is_reached(
    chosen: dict[str, int], steps: list[tuple[float, int, bool, bool]]
) -> None:
    """Requests are let in by one comparison of all limits; which it was is looked for after it."""
    one, now, today = account(**chosen), 0.0, NOON
    limits.begin_periods(one, today)
    under_way: list[int] = []
    for pause, tokens, ends, is_charged in steps:
        now, today = now + pause, today + pause
        reached, at_first = limits.reached(one, now, today), copy(one)
        is_first = limits.admit_first(at_first, now, today, tokens)
        assert limits.admit((one,), now, today, tokens) == reached
        if is_first:
            assert reached is None and at_first == one
            standing = limits.standings(one, now, today)
            assert headers_in(lines_of_first(one.limits)) == headers_in(_lines(*standing))
        if reached is None:
            under_way.append(tokens)
        if ends and under_way:
            limits.end((one,), under_way.pop())
        if is_charged:
            limits.charge([one], [tokens], now, today)


def test_a_first_request_finds_nothing_missing_and_no_quota_to_tell_of() -> None:
    one = account(requests_per_minute=60, tokens_per_minute=100, tokens_per_day=1000)

    def is_first(now: float, today: float = NOON) -> bool:
        return limits.admit_first(copy(one), now, today, 0)

    assert not is_first(0), "the day has not begun"
    limits.begin_periods(one, NOON)
    assert is_first(0) and not is_first(0, MIDNIGHT)
    assert limits.admit_first(one, 10, NOON, 20)
    assert (one.running, one.reserved) == (1, 20)
    assert not is_first(99), "the one before is under way"
    limits.end((one,), 20)
    assert not is_first(99), "what it used is not known yet"
    limits.charge([one], [50], 10, NOON)
    assert not is_first(39) and is_first(41)
    limits.charge([one], [851], 41, NOON)
    assert not is_first(9999), "99 of the day's tokens are left"
    limited = account(tokens_per_day=5)
    limits.begin_periods(limited, NOON)
    assert not limits.admit_first(limited, 0, NOON, 0)
