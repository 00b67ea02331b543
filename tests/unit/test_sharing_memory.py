"""The scheduler within a memory budget: who is loaded beside whom, and who goes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from proxy_app.eviction import PINNED, Group, Groups
from proxy_app.scheduler import Scheduler
from proxy_app.seats import Limits, Policy, Ticket
from tests.fake_effects import FRIENDS, FakeEffects, ask, with_loaded


@pytest.fixture
def effects() -> FakeEffects:
    return FakeEffects()


def sharing(
    needs: Mapping[str, int | Mapping[str, int]],
    *,
    pinned: str = "",
    groups: Groups = FRIENDS,
    gpu: int = 10,
    min_residency: float = 0,
    max_wait: float = 20,
    **priority: int,
) -> Policy:
    """Needs of the GPU, or of each device."""
    models = {
        model: Limits(
            need={"GPU": need} if isinstance(need, int) else need,
            pinned=model in pinned,
            priority=priority.get(model, 0),
        )
        for model, need in needs.items()
    }
    of_model = {**groups.of_model, **dict.fromkeys(pinned, PINNED)}
    return Policy(
        models,
        Groups(groups.default, of_model),
        max_wait=max_wait,
        min_residency=min_residency,
        budget={"GPU": gpu, "GPU2": gpu, "CPU": 100},
    )


def test_models_are_loaded_beside_each_other_while_they_fit(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 4, "b": 6, "c": 1}), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["start b"]


def test_one_that_does_not_fit_makes_an_idle_one_go(effects: FakeEffects) -> None:
    """Regression: LocalAI#7269, LocalAI#6068, lemonade#1804: nothing was unloaded."""
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["stop a"]
    scheduler.on_ended("a", 2)
    assert effects.news() == ["start b"]


def test_models_loaded_one_after_another_stay_within_each_gpu(effects: FakeEffects) -> None:
    """Regression: ollama#13235, memory ran out with several GPUs."""
    needs = {"a": {"GPU": 6}, "b": {"GPU2": 6}, "c": {"GPU": 3, "GPU2": 3}, "d": {"GPU2": 5}}
    scheduler = with_loaded(effects, sharing(needs), "a", "b", "c")
    ask(scheduler, "d", 1)
    assert effects.news() == ["stop b"]


def test_as_many_go_as_a_big_model_needs(effects: FakeEffects) -> None:
    """Regression: llama.cpp PR#21231, models went by number and every second load failed."""
    scheduler = with_loaded(effects, sharing({"a": 3, "b": 3, "c": 3, "d": 7}), "a", "b", "c")
    ask(scheduler, "d", 1)
    assert effects.news() == ["stop a", "stop b"]


def test_the_longest_idle_one_goes(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 5, "b": 5, "c": 5}), "a", "b")
    scheduler.on_done(ask(scheduler, "a", 50), 51)
    effects.calls.clear()
    ask(scheduler, "c", 60)
    assert effects.news() == ["stop b"]


def test_one_that_loads_quickly_goes_before_one_that_loads_slowly(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, sharing({"a": 5, "b": 5, "c": 5}))
    scheduler.load("a", 0)
    scheduler.load("b", 0)
    scheduler.on_ready("b", 1)
    scheduler.on_ready("a", 100)
    effects.calls.clear()
    ask(scheduler, "c", 400)
    assert effects.news() == ["stop b"]


def test_one_of_a_lower_priority_goes_first(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 5, "b": 5, "c": 5}, a=20), "a", "b")
    ask(scheduler, "c", 60)
    assert effects.news() == ["stop b"]


def test_an_idle_one_goes_rather_than_a_busy_one_is_waited_for(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 5, "b": 5, "c": 5}), "a", "b")
    ask(scheduler, "a", 1)
    scheduler.on_done(ask(scheduler, "b", 50), 51)
    effects.calls.clear()
    ask(scheduler, "c", 60)
    assert effects.news() == ["stop b"]


def test_a_busy_one_is_waited_for_and_never_stopped(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}), "a")
    busy = ask(scheduler, "a", 1)
    ask(scheduler, "b", 2)
    scheduler.on_tick(1000)
    assert effects.news() == ["grant a"]
    scheduler.on_done(busy, 1001)
    assert effects.news() == ["stop a"]


def test_nobody_waits_for_a_busy_model_longer_than_the_longest_wait(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}, max_wait=20), "a")
    busy = ask(scheduler, "a", 1)
    ask(scheduler, "b", 2)
    assert scheduler.next_deadline(3) == 22
    scheduler.on_tick(22)
    ask(scheduler, "a", 23)
    effects.calls.clear()
    scheduler.on_done(busy, 24)
    assert effects.news() == ["stop a"]


def test_an_idle_one_stays_for_its_minimum_residency(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}, min_residency=30), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == []
    assert scheduler.next_deadline(1) == 21
    scheduler.on_tick(30)
    assert effects.news() == ["stop a"]


def test_memory_is_taken_again_only_when_the_engine_is_gone(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}), "a")
    scheduler.unload("a", 1)
    ask(scheduler, "b", 2)
    assert effects.news() == ["stop a"]
    scheduler.on_ended("a", 3)
    assert effects.news() == ["start b"]


def test_a_place_that_is_being_made_is_not_given_to_another(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "big": 10, "c": 4}), "a")
    ask(scheduler, "a", 0)
    ask(scheduler, "big", 1)
    ask(scheduler, "c", 2)
    assert effects.news() == ["grant a"]


def test_a_model_too_big_for_the_machine_is_tried_alone(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 2, "b": {"CPU": 5}, "huge": 99}), "a", "b")
    ask(scheduler, "huge", 1)
    assert effects.news() == ["stop a"]
    scheduler.on_ended("a", 2)
    assert effects.news() == ["start huge"]


def test_groups_count_before_memory(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 1, "b": 1}, groups=Groups()), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["stop a"]


def test_a_model_whose_need_is_unknown_counts_as_nothing(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 10, "b": {}}), "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["start b"]


def test_what_was_measured_counts_from_then_on(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 4, "b": 4}), "a")
    scheduler.configure(sharing({"a": 8, "b": 4}), 1)
    ask(scheduler, "b", 2)
    assert effects.news() == ["stop a"]


def test_the_next_model_is_announced_once_while_the_others_stop(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 6, "b": 6}), "a")
    busy = ask(scheduler, "a", 1)
    ask(scheduler, "b", 2)
    assert effects.announced == []
    scheduler.on_done(busy, 3)
    ask(scheduler, "b", 4)
    assert effects.announced == ["b"]


# ---- Pinned and persistent models ------------------------------------------------------------


def test_a_pinned_model_stays_and_another_goes(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"p": 4, "a": 4, "b": 4}, pinned="p"), "p", "a")
    scheduler.on_done(ask(scheduler, "a", 100), 101)
    effects.calls.clear()
    ask(scheduler, "b", 102)
    assert effects.news() == ["stop a"]


def test_a_busy_model_is_waited_for_rather_than_a_pinned_one_goes(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"p": 4, "a": 4, "b": 4}, pinned="p"), "p", "a")
    ask(scheduler, "a", 1)
    ask(scheduler, "b", 2)
    scheduler.on_tick(1000)
    assert effects.news() == ["grant a"]


def test_a_pinned_model_stays_beside_models_of_a_group_that_swaps(effects: FakeEffects) -> None:
    rules = sharing({"p": 1, "a": 1, "b": 1}, pinned="p", groups=Groups())
    scheduler = with_loaded(effects, rules, "p", "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["stop a"]


def test_a_pinned_model_goes_for_one_that_could_never_be_loaded_and_comes_back(
    effects: FakeEffects,
) -> None:
    scheduler = with_loaded(effects, sharing({"p": 4, "big": 10}, pinned="p"), "p")
    big = ask(scheduler, "big", 1)
    scheduler.on_ended("p", 2)
    scheduler.on_ready("big", 3)
    scheduler.on_done(big, 4)
    assert effects.news() == ["stop p", "start big", "grant big"]
    scheduler.unload("big", 5)
    scheduler.on_ended("big", 6)
    assert effects.news() == ["stop big", "start p"]
    scheduler.on_ready("p", 7)
    assert scheduler.loaded() == ("p",)


def test_a_pinned_model_that_a_person_unloaded_does_not_come_back(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"p": 4, "a": 4}, pinned="p"), "p")
    scheduler.unload("p", 1)
    scheduler.on_ended("p", 2)
    scheduler.on_done(ask(scheduler, "a", 3), 4)
    assert effects.news() == ["stop p", "start a"]


def test_a_member_of_a_persistent_group_is_the_last_to_go(effects: FakeEffects) -> None:
    keep = Group("keep", swap=False, exclusive=False, persistent=True)
    groups = Groups(FRIENDS.default, {"k": keep})
    rules = sharing({"k": 3, "a": 3, "b": 6, "c": 9}, groups=groups)
    scheduler = with_loaded(effects, rules, "k", "a")
    ask(scheduler, "b", 1)
    assert effects.news() == ["stop a"]
    scheduler.on_ended("a", 2)
    scheduler.on_ready("b", 3)
    scheduler.on_done(effects.granted[-1], 4)
    effects.calls.clear()
    ask(scheduler, "c", 5)
    assert sorted(effects.news()) == ["stop b", "stop k"]


# ---- Adopted engines -------------------------------------------------------------------------


def test_an_adopted_engine_serves_at_once(effects: FakeEffects) -> None:
    scheduler = Scheduler(effects, sharing({"a": 4}))
    assert scheduler.adopt("a", 0)
    ask(scheduler, "a", 1)
    assert effects.news() == ["grant a"]


def test_an_engine_of_a_model_that_is_not_served_is_not_adopted(effects: FakeEffects) -> None:
    scheduler = with_loaded(effects, sharing({"a": 4}), "a")
    assert not scheduler.adopt("nobody", 0)
    assert not scheduler.adopt("a", 0)


# ---- Traffic ---------------------------------------------------------------------------------


def test_mixed_traffic_is_grouped_by_model(effects: FakeEffects) -> None:
    """Regression: llama-swap#612, #588: A B A A C traffic loaded a model for each request."""
    scheduler = Scheduler(effects, sharing(dict.fromkeys("abc", 6), min_residency=5))
    for number, model in enumerate("abaac" * 8):
        ask(scheduler, model, number / 100)
    now, served = 1.0, 0
    for _ in range(400):
        for call in effects.news():
            verb, model = call.split()
            now += 0.5
            match verb:
                case "start":
                    scheduler.on_ready(model, now)
                case "stop":
                    scheduler.on_ended(model, now)
        for ticket in effects.granted[served:]:
            served += 1
            now += 0.1
            scheduler.on_done(ticket, now)
        if (due := scheduler.next_deadline(now)) is not None and not effects.calls:
            now = max(now, due)
            scheduler.on_tick(now)
    assert len(effects.granted) == 40
    loads: list[str] = []
    for ticket in effects.granted:
        if not loads or loads[-1] != ticket.model:
            loads.append(ticket.model)
    assert loads == ["a", "b", "c"]


def test_quick_edits_start_a_model_once_and_leave_the_others_alone(effects: FakeEffects) -> None:
    """Regression: llama-swap#281, PR#430."""
    scheduler = with_loaded(effects, sharing({"a": 2, "b": 2}), "a", "b")
    for now in (1, 2, 3):
        scheduler.configure(sharing({"a": 2, "b": 2}), now, frozenset("a"))
    scheduler.on_ended("a", 4)
    scheduler.on_ready("a", 5)
    assert effects.news() == ["stop a", "start a"]
    assert set(scheduler.loaded()) == {"a", "b"}


def test_in_a_full_queue_the_one_with_most_requests_gives_way(effects: FakeEffects) -> None:
    """Regression: litellm#18128, llama-swap PR#811: a fair queue rather than 429."""
    rules = Policy({"a": Limits(concurrency=1, queue=3)})
    scheduler = with_loaded(effects, rules, "a")
    for number in range(4):
        scheduler.on_request(Ticket("a", number, "script"), number)
    effects.calls.clear()
    scheduler.on_request(Ticket("a", 9, "person"), 9)
    assert effects.news() == ["refuse a: queue full"]
    assert scheduler.queued("a") == 3
    scheduler.on_done(effects.granted[0], 10)
    scheduler.on_done(effects.granted[1], 11)
    assert effects.granted[2].caller == "person"
