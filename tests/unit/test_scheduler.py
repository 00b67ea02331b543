"""The decisions, in the order of the scheduler's docstring."""

from __future__ import annotations

import pytest

from proxy_app.eviction import Group, Groups
from proxy_app.scheduler import Scheduler
from tests.fake_effects import FRIENDS, FakeEffects, ask, policy, with_loaded


@pytest.fixture
def effects() -> FakeEffects:
    return FakeEffects()


# ---- Loading and serving -------------------------------------------------------------------


def test_it_starts_a_model_for_its_first_request_and_grants_it_when_ready(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, policy())
    ticket = ask(scheduler, "a", 0)
    assert effects.news() == ["start a"]

    scheduler.on_ready("a", 1)
    assert effects.news() == ["grant a"]
    assert effects.granted == [ticket]
    assert ticket.seat is not None


def test_it_starts_a_model_once_for_many_requests(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    for now in range(5):
        ask(scheduler, "a", now)
    assert effects.news() == ["start a"]
    assert scheduler.queued("a") == 5


def test_it_grants_at_once_when_the_model_is_ready(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    ask(scheduler, "a", 1)
    assert effects.news() == ["grant a"]
    assert (scheduler.in_flight("a"), scheduler.queued("a")) == (1, 0)


def test_it_grants_no_more_than_the_limit_and_the_oldest_first(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(concurrency=2), "a")
    first, second, third, fourth = (ask(scheduler, "a", now) for now in range(4))
    assert effects.granted == [first, second]

    scheduler.on_done(first, 5)
    assert effects.granted == [first, second, third]
    scheduler.on_done(second, 6)
    assert effects.granted[-1] is fourth
    assert scheduler.in_flight("a") == 2


def test_a_newcomer_does_not_overtake_those_who_wait(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    first, second = ask(scheduler, "a", 0), ask(scheduler, "a", 1)
    third = ask(scheduler, "a", 2)
    scheduler.on_done(first, 3)
    assert effects.granted == [first, second]
    assert scheduler.queued("a") == 1
    scheduler.on_done(second, 4)
    assert effects.granted[-1] is third


def test_it_refuses_a_model_it_does_not_know(effects: FakeEffects) -> None:
    ask(Scheduler(effects, policy()), "nobody", 0)
    assert effects.news() == ["refuse nobody: unknown model"]


def test_it_refuses_a_request_when_the_queue_is_full_even_while_the_model_is_loaded(
    effects: FakeEffects,
) -> None:
    """Regression: ollama#7758, a queue limit that was ignored once the model was loaded."""
    scheduler = with_loaded(effects, policy(concurrency=1, queue=1), "a")
    for now in range(3):
        ask(scheduler, "a", now)
    assert effects.news() == ["grant a", "refuse a: queue full"]
    assert scheduler.queued("a") == 1


def test_a_request_that_is_done_twice_gives_back_one_place(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    first, _second = ask(scheduler, "a", 0), ask(scheduler, "a", 0)
    scheduler.on_done(first, 1)
    scheduler.on_done(first, 2)
    assert scheduler.in_flight("a") == 1


# ---- 1. Leaving ----------------------------------------------------------------------------


def test_it_stops_an_idle_model_at_once_when_it_is_unloaded(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.unload("a", 1)
    assert effects.news() == ["stop a"]
    assert scheduler.loaded() == ("a",)
    scheduler.on_ended("a", 2)
    assert scheduler.loaded() == ()


def test_unloading_waits_for_requests_in_flight(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    first, second = ask(scheduler, "a", 0), ask(scheduler, "a", 0)
    effects.calls.clear()
    scheduler.unload("a", 1)
    scheduler.on_done(first, 2)
    assert effects.news() == []
    scheduler.on_done(second, 3)
    assert effects.news() == ["stop a"]


def test_a_leaving_model_gets_no_new_requests_and_is_loaded_again_for_them(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    first = ask(scheduler, "a", 0)
    scheduler.unload("a", 1)
    later = ask(scheduler, "a", 2)
    scheduler.on_done(first, 3)
    scheduler.on_ended("a", 4)
    scheduler.on_ready("a", 5)
    assert effects.news() == ["grant a", "stop a", "start a", "grant a"]
    assert effects.granted == [first, later]


def test_forced_unloading_stops_a_busy_model_and_refuses_those_who_wait(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    ask(scheduler, "a", 0)
    ask(scheduler, "a", 0)
    effects.calls.clear()
    scheduler.unload("a", 1, force=True)
    assert effects.news() == ["refuse a: unloaded", "stop a"]


def test_unloading_a_model_that_is_being_loaded_refuses_those_who_wait(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    scheduler.unload("a", 1)
    assert effects.news() == ["start a", "refuse a: unloaded", "stop a"]


def test_unloading_twice_stops_once(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.unload("a", 1)
    scheduler.unload("a", 2, force=True)
    assert effects.news() == ["stop a"]


def test_a_load_that_nobody_waits_for_any_more_is_ended(effects: FakeEffects) -> None:
    """Regression: llama-swap#727."""
    scheduler = Scheduler(effects, policy())
    first, second = ask(scheduler, "a", 0), ask(scheduler, "a", 1)
    scheduler.on_cancel(first, 2)
    assert effects.news() == ["start a"]
    scheduler.on_cancel(second, 3)
    assert effects.news() == ["stop a"]


def test_a_load_that_a_person_asked_for_goes_on_without_waiters(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    ticket = ask(scheduler, "a", 0)
    scheduler.load("a", 1)
    scheduler.on_cancel(ticket, 2)
    assert effects.news() == ["start a"]


def test_a_request_that_comes_while_its_load_is_being_ended_loads_it_again(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.on_cancel(ask(scheduler, "a", 0), 1)
    ask(scheduler, "a", 2)
    scheduler.on_ready("a", 3)  # it was ready before it got the order to stop
    assert effects.news() == ["start a", "stop a"]
    scheduler.on_ended("a", 4)
    assert effects.news() == ["start a"]


# ---- 2 a, b. Waiting behind, and starting --------------------------------------------------


def test_it_starts_models_side_by_side_that_may_share_the_machine(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy(groups=FRIENDS))
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 0)
    assert effects.news() == ["start a", "start b"]


def test_it_does_not_start_a_model_beside_one_that_is_being_loaded(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 0)
    assert effects.news() == ["start a"]


def test_it_starts_the_model_with_the_oldest_waiter_first(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    for model, now in (("c", 1), ("b", 2), ("c", 3)):
        ask(scheduler, model, now)
    scheduler.on_done(serving, 4)
    scheduler.on_ended("a", 5)
    assert effects.news() == ["grant a", "stop a", "start c"]


def test_a_model_waits_behind_an_older_one_even_when_nobody_is_in_its_own_way(
    effects: FakeEffects,
) -> None:
    """Otherwise a stream of requests for small models keeps a big one waiting for ever."""
    big, small = Group("big"), Group("small", swap=False, exclusive=False)
    groups = Groups(of_model={"a": small, "b": big, "c": small})
    scheduler = with_loaded(effects, policy(groups=groups), "a")
    serving = ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    ask(scheduler, "c", 2)
    assert effects.news() == ["grant a"]

    scheduler.on_done(serving, 3)
    scheduler.on_ended("a", 4)
    # The small one makes nobody leave, so once the big one has its place it may start too.
    assert effects.news() == ["stop a", "start b", "start c"]


def test_a_model_waits_behind_an_older_one_that_itself_waits_behind_another(
    effects: FakeEffects,
) -> None:
    left, right = Group("left", exclusive=False), Group("right", exclusive=False)
    groups = Groups(of_model={"a": left, "b": left, "d": right})
    scheduler = with_loaded(effects, policy("abcd", groups=groups), "a")
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    ask(scheduler, "c", 2)
    ask(scheduler, "d", 3)
    assert effects.news() == ["grant a"]


def test_a_model_that_a_person_asked_for_first_goes_first(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    scheduler.load("b", 1)
    ask(scheduler, "c", 2)
    ask(scheduler, "b", 3)
    scheduler.on_done(serving, 4)
    scheduler.on_ended("a", 5)
    assert effects.news() == ["grant a", "stop a", "start b"]


def test_a_model_does_not_wait_behind_one_that_it_can_share_the_machine_with(
    effects: FakeEffects,
) -> None:
    one, two = Group("one", exclusive=False), Group("two", exclusive=False)
    scheduler = with_loaded(effects, policy(groups=Groups(of_model={"a": one, "b": one, "c": two})))
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    ask(scheduler, "c", 2)
    assert effects.news() == ["start a", "start c"]


# ---- 2 c, 3, 4. Making room ----------------------------------------------------------------


def test_it_stops_an_idle_model_for_another_and_starts_it_when_the_first_is_gone(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["stop a"]
    scheduler.on_ended("a", 2)
    assert effects.news() == ["start b"]


def test_it_queues_when_making_room_would_stop_a_busy_model(effects: FakeEffects) -> None:
    """Regression: llama.cpp#21678, a generating model that was ended to load another."""
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    scheduler.on_tick(1000)
    assert effects.news() == ["grant a"]
    scheduler.on_done(serving, 1001)
    assert effects.news() == ["stop a"]


def test_a_busy_model_serves_newer_requests_until_another_waited_too_long(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(max_wait=20), "a")
    first = ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    second = ask(scheduler, "a", 20.5)
    assert effects.granted == [first, second]

    assert scheduler.next_deadline(20.5) == 21
    scheduler.on_tick(21)
    ask(scheduler, "a", 22)
    assert effects.granted == [first, second]
    assert repr(scheduler) == (
        "<Scheduler loaded: a ready 2 in flight yielding | waiting: b 1, a 1>"
    )
    effects.calls.clear()
    scheduler.on_done(first, 23)
    scheduler.on_done(second, 24)
    assert effects.news() == ["stop a"]


def test_a_model_that_has_to_go_still_serves_what_came_before_the_one_it_goes_for(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1, max_wait=20), "a")
    first, older = ask(scheduler, "a", 0), ask(scheduler, "a", 0.5)
    ask(scheduler, "b", 1)
    ask(scheduler, "a", 2)
    scheduler.on_done(first, 30)
    assert effects.granted == [first, older]
    effects.calls.clear()
    scheduler.on_done(older, 31)
    assert effects.news() == ["stop a"]


def test_requests_that_came_in_the_same_instant_do_not_hold_each_other_back(
    effects: FakeEffects,
) -> None:
    """Loading took longer than anyone may wait; then each would give way to the other."""
    scheduler = Scheduler(effects, policy(max_wait=20))
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 0)
    scheduler.on_ready("a", 30)
    assert effects.news() == ["start a", "grant a"]


def test_a_model_loaded_for_a_waiter_serves_it_though_others_waited_too_long_meanwhile(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(max_wait=5), "a")
    ask(scheduler, "b", 1)
    ask(scheduler, "a", 2)
    scheduler.on_ended("a", 3)
    scheduler.on_ready("b", 60)
    assert effects.news() == ["stop a", "start b", "grant b"]


def test_an_idle_model_stays_for_its_minimum_residency(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(min_residency=60), "a", now=0)
    ask(scheduler, "b", 1)
    assert effects.news() == []
    scheduler.on_tick(59)
    assert effects.news() == []
    scheduler.on_tick(60)
    assert effects.news() == ["stop a"]


def test_a_model_serves_everybody_during_its_minimum_residency(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(min_residency=60, max_wait=5), "a", now=0)
    ask(scheduler, "b", 1)
    ask(scheduler, "a", 30)
    assert effects.news() == ["grant a"]


def test_a_waiter_moves_when_those_before_it_left_unnoticed(effects: FakeEffects) -> None:
    """The model came up for a client that was gone; nobody reports on it any more."""
    scheduler = Scheduler(effects, policy(max_wait=5))
    gone = ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    effects.left.add(gone)
    scheduler.on_ready("a", 30)
    assert effects.news() == ["start a", "a had left", "stop a"]


def test_a_request_whose_client_left_takes_no_place(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    first, gone, third = (ask(scheduler, "a", now) for now in range(3))
    effects.left.add(gone)
    scheduler.on_done(first, 3)
    assert effects.granted == [first, third]
    assert gone.seat is None


def test_the_oldest_counts_when_several_models_wait_for_the_same_one_to_leave(
    effects: FakeEffects,
) -> None:
    friends = Group("friends", swap=False)
    groups = Groups(of_model={"b": friends, "c": friends})
    scheduler = with_loaded(effects, policy(concurrency=1, groups=groups, max_wait=5), "a")
    serving = ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    ask(scheduler, "a", 2)
    ask(scheduler, "c", 3)
    scheduler.on_done(serving, 30)
    assert effects.news() == ["grant a", "stop a"]
    # The newest of the three waits behind the second request for the first model.
    scheduler.on_ended("a", 31)
    assert effects.news() == ["start b"]


# ---- 5. Time to live -----------------------------------------------------------------------


def test_a_model_is_stopped_when_nobody_used_it_for_its_time_to_live(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(ttl=10), "a", now=0)
    scheduler.on_done(ask(scheduler, "a", 3), 5)
    effects.calls.clear()
    assert scheduler.next_deadline(5) == 15
    scheduler.on_tick(14)
    assert effects.news() == []
    scheduler.on_tick(15)
    assert effects.news() == ["stop a"]


def test_the_time_to_live_runs_from_ready_for_a_model_that_was_never_used(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(ttl=10), "a", now=7)
    assert scheduler.next_deadline(7) == 17


def test_a_busy_model_outlives_its_time_to_live(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(ttl=10), "a")
    ask(scheduler, "a", 1)
    scheduler.on_tick(1000)
    assert effects.news() == ["grant a"]
    assert scheduler.next_deadline(1000) is None


def test_a_request_that_comes_as_the_model_expires_is_served_by_the_next_engine(
    effects: FakeEffects,
) -> None:
    """Regression: llama-swap#946, the group was dead for good after this race."""
    scheduler = with_loaded(effects, policy(ttl=10), "a")
    scheduler.on_tick(10)
    ask(scheduler, "a", 10)
    scheduler.on_ended("a", 11)
    scheduler.on_ready("a", 12)
    assert effects.news() == ["stop a", "start a", "grant a"]


def test_a_model_without_a_time_to_live_stays(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(ttl=0), "a")
    scheduler.on_tick(1e9)
    assert effects.news() == []
    assert scheduler.next_deadline(0) is None


# Rounding: 0.7 - 0.6 is less than 0.1, although 0.6 + 0.1 is 0.7.
INSTANTS = [0.1 * step for step in range(1, 10)]


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_tick_at_the_end_of_the_time_to_live_is_not_too_early(
    effects: FakeEffects, instant: float
) -> None:
    scheduler = with_loaded(effects, policy(ttl=0.1), "a", now=instant)
    due = scheduler.next_deadline(instant)
    assert due is not None
    scheduler.on_tick(due)
    assert effects.news() == ["stop a"]


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_tick_at_the_end_of_the_minimum_residency_is_not_too_early(
    effects: FakeEffects, instant: float
) -> None:
    scheduler = with_loaded(effects, policy(min_residency=0.1, max_wait=0), "a", now=instant)
    ask(scheduler, "b", instant)
    due = scheduler.next_deadline(instant)
    assert due is not None
    scheduler.on_tick(due)
    assert effects.news() == ["stop a"]


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_tick_at_the_end_of_the_longest_wait_is_not_too_early(
    effects: FakeEffects, instant: float
) -> None:
    scheduler = with_loaded(effects, policy(max_wait=0.1), "a")
    ask(scheduler, "a", 0)
    ask(scheduler, "b", instant)
    due = scheduler.next_deadline(instant)
    assert due is not None
    scheduler.on_tick(due)
    ask(scheduler, "a", due + 1)
    assert effects.news() == ["grant a"]
