"""Memory as a budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy_app.budget import Bytes, cheapest, lacking, not_back, total


@dataclass
class Held:
    need: Bytes = field(default_factory=dict)


BUDGET = {"CPU": 10, "GPU": 10}


def test_what_fits_beside_others_lacks_nothing() -> None:
    assert lacking({"GPU": 4}, {"GPU": 6}, BUDGET) == frozenset()
    assert lacking({"GPU": 5}, {"GPU": 6}, BUDGET) == {"GPU"}


def test_a_device_that_a_model_has_to_itself_is_never_short() -> None:
    assert lacking({"GPU": 50}, {"CPU": 9}, BUDGET) == frozenset()


def test_a_device_without_a_budget_and_one_that_is_not_used_do_not_count() -> None:
    assert lacking({"NPU": 99, "GPU": 0}, {"NPU": 99, "GPU": 99}, BUDGET) == frozenset()


def test_every_device_is_looked_at_by_itself() -> None:
    """Regression: ollama#13235, memory ran out on one of several GPUs."""
    assert lacking({"GPU": 3, "CPU": 3}, {"GPU": 8, "CPU": 2}, BUDGET) == {"GPU"}


def cheapest_of(need: Bytes, *held: Held) -> list[Held] | None:
    return cheapest(need, list(held), total(held), BUDGET)


def test_it_takes_the_cheapest_that_gives_enough() -> None:
    first, second = Held({"GPU": 5}), Held({"GPU": 5})
    assert cheapest_of({"GPU": 5}, first, second) == [first]


def test_it_takes_several_when_one_is_not_enough() -> None:
    """Regression: llama.cpp PR#21231, models went by number, so a big one did not fit."""
    small = [Held({"GPU": 3}) for _ in range(3)]
    assert cheapest_of({"GPU": 7}, *small) == small[:2]


def test_it_takes_one_rather_than_several_when_one_is_enough() -> None:
    small, big = Held({"GPU": 3}), Held({"GPU": 6})
    assert cheapest_of({"GPU": 7}, small, big) == [big]


def test_it_takes_nobody_from_a_device_that_is_not_short() -> None:
    on_cpu, on_gpu = Held({"CPU": 8}), Held({"GPU": 8})
    assert cheapest_of({"GPU": 8}, on_cpu, on_gpu) == [on_gpu]


def test_it_says_when_all_of_them_are_not_enough() -> None:
    movable = Held({"GPU": 2})
    assert cheapest({"GPU": 8}, [movable], {"GPU": 9}, BUDGET) is None


def test_memory_is_awaited_only_on_the_devices_that_engines_left() -> None:
    assert not_back({"GPU": 8, "CPU": 8}, {"GPU": 5, "CPU": 1}, ["GPU"]) == {"GPU": 3}
    assert not_back({"GPU": 8}, {"GPU": 8}, ["GPU"]) == {}
    assert not_back({"GPU": 8}, {}, ["GPU"]) == {}
