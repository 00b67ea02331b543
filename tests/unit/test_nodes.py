"""Whose a row is, which queue a node has, and who may go by a name: no database, no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from models_app.nodes import DEFAULT, HOLD, Holder, is_name, is_ours, may_hold, queue_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["main", "gpu-2", "A.b_c-9", "x", "n" * 63])
def test_a_node_has_a_plain_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "two words", "a@b", "a/b", "ä", "n" * 64, "a\n", "a,b"])
def test_what_would_not_do_in_a_queue_or_a_log_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_only_what_carries_our_name_is_ours() -> None:
    assert is_ours("gpu-2", "gpu-2")
    assert not is_ours("gpu-2", "gpu-22")
    assert not is_ours("GPU-2", "gpu-2")
    assert not is_ours("", "gpu-2")


def test_the_first_node_keeps_its_queues_and_every_other_has_its_own() -> None:
    assert queue_of("scans", DEFAULT) == "scans"
    names = [queue_of(queue, node) for queue in ("scans", "downloads") for node in ("a", "b", "ab")]
    assert len({"scans", "downloads", *names}) == 8
    # What the broker that keeps files takes.
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_a_name_that_nobody_has_may_be_taken() -> None:
    assert may_hold(None, "home", NOW)


def test_a_home_has_its_name_back_at_once_after_a_crash() -> None:
    assert may_hold(Holder("home", NOW), "home", NOW)


def test_a_name_is_another_homes_as_long_as_its_server_is_seen() -> None:
    seen = Holder("other", NOW - HOLD + timedelta(seconds=1))
    assert not may_hold(seen, "home", NOW)
    assert may_hold(Holder("other", NOW - HOLD), "home", NOW)


def test_a_server_that_was_stopped_leaves_its_name_at_once() -> None:
    assert may_hold(Holder("other", None), "home", NOW)
