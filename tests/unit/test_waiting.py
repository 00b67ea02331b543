"""Whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy_app.seats import Limits, Ticket
from proxy_app.waiting import Waiting


def waiting(*tickets: Ticket, patience: float = 20, **priority: int) -> Waiting:
    limits = {model: Limits(priority=number) for model, number in priority.items()}
    queues = Waiting(patience, limits)
    for ticket in tickets:
        queues.add(ticket)
    return queues


def served(queues: Waiting, model: str = "a", now: float = 10) -> list[str]:
    """The callers in the order in which they are served."""
    found = []
    while (ticket := queues.take(model, lambda one: True, now)) is not None:
        found.append(ticket.caller)
    return found


def from_callers(callers: str, model: str = "a") -> list[Ticket]:
    return [Ticket(model, number, caller) for number, caller in enumerate(callers)]


def test_requests_of_one_caller_go_in_their_order() -> None:
    tickets = from_callers("xxx")
    queues = waiting(*tickets)
    assert [queues.take("a", lambda one: True, 9) for _ in tickets] == tickets


def test_one_script_does_not_starve_the_others() -> None:
    """Regression: litellm#18128, llama-swap PR#811."""
    assert served(waiting(*from_callers("ssssssssp"))) == ["s", "p", *"sssssss"]


def test_callers_take_turns() -> None:
    assert "".join(served(waiting(*from_callers("sssspppq")))) == "spqspsps"


def test_a_caller_that_comes_late_gets_its_share_and_not_more() -> None:
    queues = waiting(*from_callers("ssssss"))
    assert [queues.take("a", lambda one: True, 9) for _ in range(3)]
    for number in range(3):
        queues.add(Ticket("a", 50 + number, "p"))
    assert "".join(served(queues)) == "spspsp"


def test_a_higher_priority_goes_first() -> None:
    queues = waiting(Ticket("a", 0, "x"), Ticket("a", 1, "y", priority=5))
    assert served(queues) == ["y", "x"]


def test_a_low_priority_counts_as_the_highest_once_it_waited_too_long() -> None:
    queues = waiting(Ticket("a", 0, "x"), Ticket("a", 1, "y", priority=5), patience=20)
    assert served(queues, now=20) == ["x", "y"]


def test_only_acceptable_requests_are_taken() -> None:
    queues = waiting(Ticket("a", 5, "x"), Ticket("a", 1, "y"))
    found = queues.take("a", lambda one: one.arrived < 3, 9)
    assert found is not None and found.caller == "y"
    assert queues.take("a", lambda one: one.arrived < 3, 9) is None


def test_the_order_that_is_shown_is_the_order_that_is_served() -> None:
    queues = waiting(*from_callers("sssppqs"))
    queues.take("a", lambda one: True, 9)
    shown = [ticket.caller for ticket in queues.in_order("a", 10)]
    assert served(queues) == shown


def test_models_are_loaded_for_callers_in_turn() -> None:
    queues = waiting(Ticket("a", 0, "s"), Ticket("b", 1, "s"), Ticket("c", 2, "p"))
    order = []
    loaded: dict[str, object] = {}
    while targets := queues.targets(loaded, 10):
        queues.loading(targets[0])
        loaded[targets[0].model] = True
        order.append(targets[0].model)
    assert order == ["a", "c", "b"]


def test_the_model_with_the_higher_priority_is_loaded_first() -> None:
    queues = waiting(Ticket("a", 0), Ticket("b", 1), a=0, b=5)
    assert [target.model for target in queues.targets({}, 10)] == ["b", "a"]
    assert [target.model for target in queues.targets({}, 20)] == ["a", "b"]


def test_a_full_queue_takes_the_place_of_whoever_has_most() -> None:
    queues = waiting(*from_callers("sss"))
    newest = queues.gives_way(Ticket("a", 9, "p"))
    assert newest is not None and (newest.caller, newest.arrived) == ("s", 2)
    assert queues.gives_way(Ticket("a", 9, "s")) is None


def test_nothing_is_left_of_callers_that_do_not_wait() -> None:
    queues = waiting(*from_callers("xyz"))
    served(queues)
    assert not queues
    assert vars(queues)["_of_caller"] == {}


@given(st.lists(st.sampled_from("xyz"), max_size=30))
def test_nobody_is_served_twice_while_another_waits_that_came_before(callers: list[str]) -> None:
    """Every caller has its share: between two of its turns each other one has at most one."""
    order = served(waiting(*from_callers("".join(callers))), now=-1)
    assert sorted(order) == sorted(callers)
    for at, caller in enumerate(order):
        between: list[str] = []
        for other in order[at + 1 :]:
            if other == caller:
                break
            between.append(other)
        else:
            continue
        assert all(between.count(other) <= 1 for other in "xyz")
