from __future__ import annotations

from itertools import product

import pytest

from proxy_app.eviction import Group, Groups, exclude_each_other, must_leave

SWITCHES = list(product((False, True), repeat=3))
PAIRS = list(product(SWITCHES, SWITCHES))


def groups(*named: Group, **member_of: str) -> Groups:
    by_name = {group.name: group for group in named}
    return Groups(of_model={model: by_name[name] for model, name in member_of.items()})


def test_a_model_that_is_not_listed_is_in_the_default_group() -> None:
    special = Group("special")
    assert Groups(of_model={"a": special}).group("a") is special
    assert Groups(of_model={"a": special}).group("b").name == "(default)"


def test_models_of_the_default_group_take_turns() -> None:
    assert must_leave("a", ["b", "c"], Groups()) == {"b", "c"}


def test_a_model_never_has_to_leave_for_itself() -> None:
    assert must_leave("a", ["a"], Groups()) == frozenset()


def test_nobody_leaves_when_nothing_is_loaded() -> None:
    assert must_leave("a", [], Groups()) == frozenset()


def test_members_of_a_group_that_does_not_swap_stay_together() -> None:
    family = groups(Group("family", swap=False), a="family", b="family")
    assert must_leave("a", ["b"], family) == frozenset()


def test_a_persistent_group_still_swaps_its_own_members() -> None:
    voices = groups(Group("voices", swap=True, persistent=True), a="voices", b="voices")
    assert must_leave("a", ["b"], voices) == {"b"}


def test_an_exclusive_group_makes_the_members_of_other_groups_leave() -> None:
    two = groups(Group("one", exclusive=True), Group("two"), a="one", b="two")
    assert must_leave("a", ["b", "unlisted"], two) == {"b", "unlisted"}


def test_a_persistent_group_stays_when_an_exclusive_one_is_loaded() -> None:
    two = groups(Group("one"), Group("two", persistent=True), a="one", b="two")
    assert must_leave("a", ["b"], two) == frozenset()


def test_a_group_that_is_not_exclusive_makes_nobody_outside_it_leave() -> None:
    two = groups(Group("one", exclusive=False), Group("two"), a="one", b="two", c="one")
    assert must_leave("a", ["b", "c", "unlisted"], two) == {"c"}


@pytest.mark.parametrize(("swap", "exclusive", "persistent"), SWITCHES)
def test_only_the_own_swap_switch_matters_inside_a_group(
    swap: bool, exclusive: bool, persistent: bool
) -> None:
    family = groups(Group("family", swap, exclusive, persistent), a="family", b="family")
    assert must_leave("a", ["b"], family) == ({"b"} if swap else frozenset())


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_between_groups_the_newcomers_exclusive_and_the_others_persistent_switch_matter(
    one: tuple[bool, bool, bool], other: tuple[bool, bool, bool]
) -> None:
    new, old = Group("one", *one), Group("other", *other)
    two = groups(new, old, a="one", b="other")
    leaves = new.exclusive and not old.persistent
    assert must_leave("a", ["b"], two) == ({"b"} if leaves else frozenset())


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_groups_exclude_each_other_when_either_newcomer_makes_the_other_leave(
    one: tuple[bool, bool, bool], other: tuple[bool, bool, bool]
) -> None:
    first, second = Group("one", *one), Group("other", *other)
    two = groups(first, second, a="one", b="other")
    either = bool(must_leave("a", ["b"], two) or must_leave("b", ["a"], two))
    assert exclude_each_other(first, second) is exclude_each_other(second, first) is either


def test_members_of_one_group_exclude_each_other_when_it_swaps() -> None:
    assert exclude_each_other(Group("one", swap=True), Group("one", swap=True))
    assert not exclude_each_other(Group("one", swap=False), Group("one", swap=False))
