from __future__ import annotations

from proxy_app.backoff import STEADY_SECONDS, Backoff

PAUSES = (0, 5, 60)


def test_a_model_that_never_failed_may_be_tried() -> None:
    assert Backoff(PAUSES).remaining("fox", 100) == 0


def test_each_failure_in_a_row_is_followed_by_the_next_pause_and_the_last_one_stays() -> None:
    backoff = Backoff(PAUSES)
    assert [backoff.failed("fox", 100) for _ in range(5)] == [0, 5, 60, 60, 60]
    assert backoff.failures("fox") == 5
    assert backoff.remaining("fox", 110) == 50
    assert backoff.remaining("fox", 160) == 0
    assert backoff.remaining("sea", 100) == 0


def test_what_is_forgotten_counts_anew() -> None:
    backoff = Backoff(PAUSES)
    for _ in range(3):
        backoff.failed("fox", 100)
    backoff.forget(["fox", "unknown"])
    assert backoff.remaining("fox", 100) == 0
    assert backoff.failed("fox", 100) == 0


def test_an_engine_that_dies_soon_after_each_load_is_left_alone_as_well() -> None:
    backoff = Backoff(PAUSES)
    backoff.ended("fox", ready_at=100, now=101)
    backoff.ended("fox", ready_at=102, now=103)
    assert backoff.remaining("fox", 103) == 5


def test_an_engine_that_ran_for_long_starts_the_count_anew() -> None:
    backoff = Backoff(PAUSES)
    for _ in range(3):
        backoff.failed("fox", 100)
    backoff.ended("fox", ready_at=200, now=200 + STEADY_SECONDS)
    assert backoff.remaining("fox", 200 + STEADY_SECONDS) == 0
    assert backoff.failures("fox") == 1


def test_without_pauses_nobody_waits() -> None:
    assert Backoff(()).failed("fox", 1) == 0
