"""What happens to the scheduler and what people ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from proxy_app.eviction import Group, Groups
from proxy_app.scheduler import Scheduler
from proxy_app.seats import Policy
from tests.fake_effects import FRIENDS, FakeEffects, ask, policy, with_loaded


@pytest.fixture
def effects() -> FakeEffects:
    return FakeEffects()


# ---- Cancelling ----------------------------------------------------------------------------


def test_a_waiter_that_left_is_forgotten(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    first, second, third = (ask(scheduler, "a", now) for now in range(3))
    scheduler.on_cancel(second, 3)
    scheduler.on_cancel(second, 3)
    assert scheduler.queued("a") == 1
    scheduler.on_done(first, 4)
    assert effects.granted == [first, third]


def test_when_the_waiter_that_held_others_back_leaves_they_go_on(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(max_wait=5), "a")
    ask(scheduler, "a", 0)
    impatient = ask(scheduler, "b", 1)
    scheduler.on_tick(6)
    ask(scheduler, "a", 7)
    effects.calls.clear()
    scheduler.on_cancel(impatient, 8)
    assert effects.news() == ["grant a"]


# ---- Engines that end ----------------------------------------------------------------------


def test_a_failed_start_refuses_those_who_wait(effects: FakeEffects) -> None:
    """Regression: llama.cpp#27351, a broken model that stayed loading for ever."""
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    ask(scheduler, "a", 1)
    scheduler.on_ended("a", 2, failed=True)
    assert effects.news() == ["start a", *["refuse a: start failed"] * 2]
    assert scheduler.loaded() == ()


def pinned(*models: str) -> Policy:
    """All fit beside each other; these are pinned."""
    friends = policy(groups=FRIENDS)
    stay = {model: replace(friends.models[model], pinned=True) for model in models}
    return replace(friends, models={**friends.models, **stay})


def test_a_pinned_model_whose_engine_failed_comes_back_for_nobody_in_particular(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, pinned("a"), "a")
    scheduler.on_ending("a")
    scheduler.on_ended("a", 1, failed=True)
    assert effects.news() == []
    scheduler.bring_back("a", 6)
    assert effects.news() == ["start a"]


def test_a_pinned_model_comes_back_as_soon_as_the_last_who_waits_got_in(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, pinned("a"))
    ask(scheduler, "b", 0)
    scheduler.bring_back("a", 1)
    assert effects.news() == ["start b"]
    scheduler.on_ready("b", 2)
    assert effects.news() == ["grant b", "start a"]


def test_a_model_that_is_not_pinned_any_more_does_not_come_back(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, pinned("a"))
    scheduler.bring_back("a", 0)
    scheduler.configure(policy(groups=FRIENDS), 1)
    assert effects.news() == ["start a", "stop a"]


def test_a_load_that_ended_without_failing_is_tried_again(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    scheduler.on_ended("a", 1)
    assert effects.news() == ["start a", "start a"]


def test_the_next_model_starts_after_a_failed_one(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    scheduler.on_ended("a", 2, failed=True)
    assert effects.news() == ["start a", "refuse a: start failed", "start b"]


def test_a_failed_start_is_tried_again_for_the_next_request_only(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.load("a", 0)
    scheduler.on_ended("a", 1, failed=True)
    assert effects.news() == ["start a"]
    ask(scheduler, "a", 2)
    assert effects.news() == ["start a"]


def test_a_model_that_crashed_is_loaded_again_for_those_who_still_wait(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    broken = ask(scheduler, "a", 0)
    waiting = ask(scheduler, "a", 1)
    effects.calls.clear()
    scheduler.on_ended("a", 2, failed=True)
    assert effects.news() == ["start a"]
    scheduler.on_done(broken, 3)
    assert scheduler.in_flight("a") == 0
    scheduler.on_ready("a", 4)
    assert effects.granted == [broken, waiting]
    assert scheduler.in_flight("a") == 1


def test_a_model_asked_for_while_it_is_stopped_is_loaded_although_its_end_failed(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.unload("a", 1)
    scheduler.load("a", 2)
    scheduler.on_ended("a", 3, failed=True)
    assert effects.news() == ["stop a", "start a"]


def test_an_engine_that_ended_by_itself_gets_no_requests_and_no_order_to_stop(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.on_ending("a")
    ask(scheduler, "a", 1)
    scheduler.unload("a", 2)
    assert effects.news() == []
    scheduler.on_ended("a", 3, failed=True)
    assert effects.news() == ["start a"]


def test_an_engine_that_ends_while_it_is_loaded_is_a_failed_start(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    scheduler.on_ending("a")
    scheduler.on_ended("a", 1, failed=True)
    assert effects.news() == ["start a", "refuse a: start failed"]


def test_news_of_engines_it_does_not_know_changes_nothing(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.on_ready("a", 0)
    scheduler.on_ending("a")
    scheduler.on_ended("a", 1)
    assert effects.news() == []
    assert scheduler.loaded() == ()


# ---- Loading without a request -------------------------------------------------------------


def test_it_loads_a_model_that_a_person_asks_for(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.load("a", 0)
    scheduler.load("a", 1)
    scheduler.on_ready("a", 2)
    scheduler.load("a", 3)
    assert effects.news() == ["start a"]


def test_it_does_not_load_a_model_it_does_not_know(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.load("nobody", 0)
    assert effects.news() == []


def test_asking_again_for_a_load_does_not_lose_its_place(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    scheduler.load("b", 1)
    ask(scheduler, "c", 2)
    scheduler.load("b", 3)
    scheduler.on_done(serving, 4)
    scheduler.on_ended("a", 5)
    assert effects.news() == ["grant a", "stop a", "start b"]


def test_unloading_a_model_that_is_still_to_be_loaded_lets_the_others_go_on(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(max_wait=5), "a")
    ask(scheduler, "a", 0)
    scheduler.load("b", 1)
    scheduler.on_tick(6)
    ask(scheduler, "a", 7)
    effects.calls.clear()
    scheduler.unload("b", 8)
    assert effects.news() == ["grant a"]


# ---- Another configuration -----------------------------------------------------------------


def test_a_changed_model_restarts_when_its_requests_are_done(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    scheduler.configure(policy(), 1, frozenset("a"))
    assert effects.news() == ["grant a"]
    scheduler.on_done(serving, 2)
    scheduler.on_ended("a", 3)
    assert effects.news() == ["stop a", "start a"]


def test_a_changed_model_that_is_being_loaded_is_loaded_anew_for_its_waiters(
    effects: FakeEffects,
) -> None:
    """Regression: llama-swap#281, quick edits that started a model twice."""
    scheduler = Scheduler(effects, policy())
    ask(scheduler, "a", 0)
    scheduler.configure(policy(), 1, frozenset("a"))
    scheduler.configure(policy(), 2, frozenset("a"))
    assert effects.news() == ["start a", "stop a"]
    scheduler.on_ended("a", 3)
    scheduler.on_ready("a", 4)
    assert effects.news() == ["start a", "grant a"]


def test_a_changed_model_that_was_not_loaded_stays_unloaded(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy())
    scheduler.configure(policy(), 1, frozenset("a"))
    assert effects.news() == []


def test_a_changed_model_that_was_leaving_anyway_does_not_come_back(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    scheduler.unload("a", 1)
    scheduler.configure(policy(), 2, frozenset("a"))
    scheduler.on_done(serving, 3)
    scheduler.on_ended("a", 4)
    assert effects.news() == ["grant a", "stop a"]


def test_an_unchanged_model_is_left_alone(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(groups=FRIENDS), "a", "b")
    scheduler.configure(policy(groups=FRIENDS), 1, frozenset("b"))
    assert effects.news() == ["stop b"]
    ask(scheduler, "a", 2)
    assert effects.news() == ["grant a"]


def test_a_model_that_vanished_is_stopped_and_its_waiters_are_refused(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    serving = ask(scheduler, "a", 0)
    ask(scheduler, "a", 1)
    effects.calls.clear()
    scheduler.configure(policy("bc"), 2)
    assert effects.news() == ["refuse a: unknown model"]
    ask(scheduler, "a", 3)
    assert effects.news() == ["refuse a: unknown model"]
    scheduler.on_done(serving, 4)
    assert effects.news() == ["stop a"]


def test_a_load_of_a_model_that_vanished_is_forgotten(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    scheduler.load("b", 1)
    scheduler.configure(policy("ac"), 2)
    scheduler.on_done(serving, 3)
    assert effects.news() == ["grant a"]


def test_new_limits_hold_at_once(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(concurrency=1), "a")
    first, second, third = (ask(scheduler, "a", now) for now in range(3))
    scheduler.configure(policy(concurrency=2), 3)
    assert effects.granted == [first, second]
    scheduler.configure(policy(concurrency=1), 4)
    scheduler.on_done(first, 5)
    assert effects.granted == [first, second]
    scheduler.on_done(second, 6)
    assert effects.granted == [first, second, third]


# ---- Closing -------------------------------------------------------------------------------


def test_closing_refuses_those_who_wait_and_ends_loads(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy(groups=FRIENDS))
    ask(scheduler, "a", 0)
    scheduler.load("b", 0)
    effects.calls.clear()
    scheduler.close()
    assert effects.news() == ["refuse a: stopping", "stop a", "stop b"]


def test_once_closed_it_refuses_requests_even_for_ready_models(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.close()
    ask(scheduler, "a", 1)
    assert effects.news() == ["refuse a: stopping"]


def test_once_closed_it_loads_and_restarts_nothing(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    scheduler.close()
    scheduler.load("b", 1)
    scheduler.configure(policy(), 2, frozenset("a"))
    scheduler.on_ended("a", 3)
    assert effects.news() == ["stop a"]


def test_closing_lets_requests_in_flight_finish(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy(), "a")
    serving = ask(scheduler, "a", 0)
    effects.calls.clear()
    scheduler.close()
    scheduler.unload("a", 1)
    assert effects.news() == []
    scheduler.on_done(serving, 2)
    assert effects.news() == ["stop a"]


# ---- What can be seen ----------------------------------------------------------------------


def test_nothing_is_due_when_only_an_event_can_change_anything(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy(ttl=10))
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 0)  # waits for a to become ready, however long that takes
    assert scheduler.next_deadline(0) is None


def test_the_next_deadline_is_the_earliest_of_all(effects: FakeEffects) -> None:
    rules = policy(max_wait=20, min_residency=8, ttl=30)
    scheduler = with_loaded(effects, rules, "a", now=0)
    ask(scheduler, "b", 1)
    assert [scheduler.next_deadline(now) for now in (1, 8, 21, 30)] == [8, 21, 30, None]


def test_its_repr_tells_who_is_loaded_and_who_waits(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, policy(groups=FRIENDS))
    assert repr(scheduler) == "<Scheduler loaded: none | waiting: none>"
    scheduler.load("a", 0)
    scheduler.on_ready("a", 0)
    ask(scheduler, "a", 0)
    scheduler.unload("a", 1)
    ask(scheduler, "b", 1)
    assert repr(scheduler) == (
        "<Scheduler loaded: a ready 1 in flight leaving, b starting 0 in flight | waiting: b 1>"
    )


def test_it_tells_which_models_are_wanted(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, policy("abcd"), "a")
    ask(scheduler, "a", 0)
    ask(scheduler, "b", 1)
    scheduler.load("c", 2)
    assert [model for model in "abcd" if scheduler.wants(model)] == ["a", "b", "c"]


def test_models_that_are_not_loaded_have_nothing_in_flight_or_queued(
    effects: FakeEffects,
) -> None:
    scheduler = Scheduler(effects, policy())
    assert (scheduler.in_flight("a"), scheduler.queued("a"), scheduler.loaded()) == (0, 0, ())


# ---- What a decision costs -----------------------------------------------------------------


@dataclass
class CountingGroups(Mapping[str, Group]):
    """Counts how often somebody's group is looked up."""

    group: Group
    looks: int = 0

    def __getitem__(self, model: str) -> Group:
        self.looks += 1
        return self.group

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_decision_looks_at_each_model_a_few_times_however_many_wait(
    effects: FakeEffects,
) -> None:
    models = [f"model-{number}" for number in range(50)]
    membership = CountingGroups(Group("all"))
    scheduler = Scheduler(effects, policy(models, groups=Groups(of_model=membership)))
    for number in range(500):
        ask(scheduler, models[number % 50], number)
    membership.looks = 0
    scheduler.on_tick(1000)
    assert membership.looks <= 3 * len(models)
