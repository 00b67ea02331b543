"""What is likely to happen."""

from __future__ import annotations

import pytest

from proxy_app.scheduler import Scheduler
from proxy_app.seats import Limits, Policy, Ticket
from tests.fake_effects import FakeEffects, ask, policy, with_loaded


@pytest.fixture
def effects() -> FakeEffects:
    return FakeEffects()


def known(effects: FakeEffects, *, concurrency: int = 1) -> Scheduler:
    """a is loaded, which took 8 s, and answers in 2 s."""
    scheduler = Scheduler(effects, policy("abc", concurrency=concurrency))
    scheduler.load("a", 0)
    scheduler.on_ready("a", 8)
    scheduler.on_done(ask(scheduler, "a", 10), 12)
    return scheduler


def test_a_free_model_serves_at_once(effects: FakeEffects) -> None:
    assert known(effects).forecast(20).next_in_line("a") == 0


def test_nothing_is_claimed_about_what_was_never_seen(effects: FakeEffects) -> None:
    forecast = known(effects).forecast(20)
    assert forecast.next_in_line("b") is None
    assert forecast.load("b").load_seconds is None


def test_loads_of_earlier_times_are_known(effects: FakeEffects) -> None:
    scheduler = known(effects)
    scheduler.remember_loads({"a": 99, "b": 4})
    assert scheduler.forecast(20).next_in_line("b") == 4
    assert scheduler.forecast(20).load("a").load_seconds == 8


def test_every_request_before_one_takes_as_long_as_they_do_on_average(
    effects: FakeEffects,
) -> None:
    scheduler = known(effects)
    for _ in range(4):
        ask(scheduler, "a", 20)
    forecast = scheduler.forecast(21)
    assert [place.expected for place in forecast.queue("a")] == [2, 4, 6]
    assert [place.position for place in forecast.queue("a")] == [1, 2, 3]
    assert [place.waited for place in forecast.queue("a")] == [1, 1, 1]
    assert forecast.next_in_line("a") == 8


def test_a_model_that_is_being_loaded_is_ready_after_what_is_left_of_its_load(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, policy("a"))
    scheduler.remember_loads({"a": 8})
    ask(scheduler, "a", 0)
    assert scheduler.forecast(3).next_in_line("a") == 5
    assert scheduler.forecast(30).next_in_line("a") == 0


def test_it_counts_the_models_that_are_loaded_before(effects: FakeEffects) -> None:
    scheduler = known(effects)
    scheduler.remember_loads({"b": 4, "c": 3})
    ask(scheduler, "a", 20)
    ask(scheduler, "b", 21)
    plan = scheduler.forecast(22).load("c")
    assert plan.behind == ("b",)
    assert plan.ready_in == 4 + 3


def test_it_tells_who_would_go_and_whose_requests_are_finished_first(
    effects: FakeEffects,
) -> None:
    scheduler = known(effects)
    assert scheduler.forecast(20).load("b").evicts == ("a",)
    assert scheduler.forecast(20).load("b").waits_for == ()
    ask(scheduler, "a", 20)
    assert scheduler.forecast(21).load("b").waits_for == ("a",)
    assert scheduler.forecast(21).load("a").loaded


def test_it_tells_whether_a_model_fits_at_all(effects: FakeEffects) -> None:
    models = {"a": Limits(need={"GPU": 9}), "b": Limits(need={"GPU": 11})}
    scheduler = with_loaded(effects, Policy(models, budget={"GPU": 10}), "a")
    assert scheduler.forecast(1).load("a").fits
    assert not scheduler.forecast(1).load("b").fits


def test_looking_changes_nothing(effects: FakeEffects) -> None:
    scheduler = known(effects)
    scheduler.on_request(Ticket("b", 20, "x"), 20)
    before = repr(scheduler), list(effects.calls)
    scheduler.forecast(21).load("c")
    scheduler.forecast(21).queue("b")
    scheduler.forecast(21).next_in_line("b")
    assert (repr(scheduler), effects.calls) == before


def test_it_tells_when_an_idle_model_is_unloaded(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(ttl=10), "a", now=5)
    assert scheduler.forecast(7).expires_in("a") == 8
    ask(scheduler, "a", 7)
    assert scheduler.forecast(7).expires_in("a") is None
