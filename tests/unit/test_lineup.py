from __future__ import annotations

from pathlib import Path

import pytest

from models_app.document import ConfigDocument, GroupEntry, MemoryNeed, ModelEntry
from proxy_app.errors import ModelNotFound
from proxy_app.eviction import must_leave
from proxy_app.guards import GRACE_SECONDS
from proxy_app.launching import spec_of
from proxy_app.lineup import Lineup, QueueRules, line_up, with_measured


def lineup(*entries: ModelEntry, **others: object) -> Lineup:
    models = {entry.model_id: entry for entry in entries}
    return line_up(ConfigDocument(models=models, **others), QueueRules(length=7))  # type: ignore[arg-type]


def engine(model_id: str, **others: object) -> ModelEntry:
    return ModelEntry(model_id, cmd="engine --port ${PORT}", **others)  # type: ignore[arg-type]


def test_a_model_answers_to_its_id_and_its_aliases() -> None:
    line = lineup(engine("a", aliases=("long-a", "owner/a")))
    assert [line.resolve(name).entry.model_id for name in ("a", "long-a", "owner/a")] == ["a"] * 3


def test_an_id_wins_over_another_models_alias() -> None:
    line = lineup(engine("a", aliases=("b",)), engine("b"))
    assert line.resolve("b").entry.model_id == "b"


def test_an_unknown_name_gets_what_comes_close() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean llama-3"):
        lineup(engine("llama-3")).resolve("lama-3")


def test_the_port_stays_open_until_the_engine_is_started() -> None:
    served = lineup(engine("a", env=("KEY=va=lue",))).resolve("a")
    assert served.launch is not None
    assert served.launch.argv == ("engine", "--port", "${PORT}")
    assert served.launch.env == (("KEY", "va=lue"),)


def test_a_command_that_cannot_be_read_keeps_its_reason_and_harms_no_other() -> None:
    line = lineup(ModelEntry("bad", cmd="engine --port ${NO_SUCH}"), engine("good"))
    assert line.resolve("bad").launch is None
    assert "NO_SUCH" in line.resolve("bad").problem
    assert line.resolve("good").launch is not None


def test_limits_come_from_the_entry_or_the_defaults() -> None:
    line = lineup(
        engine("a", ttl=0, concurrency_limit=3), engine("b"), engine("c", ttl=9), global_ttl=60
    )
    limits = line.policy.models
    assert (limits["a"].ttl, limits["a"].concurrency, limits["a"].queue) == (0, 3, 7)
    assert (limits["b"].ttl, limits["b"].concurrency) == (60, 10)
    assert limits["c"].ttl == 9


def test_members_share_the_switches_of_their_group() -> None:
    group = GroupEntry("small", swap=False, exclusive=False, persistent=True, members=("a",))
    groups = lineup(engine("a"), engine("b"), groups={"small": group}).policy.groups
    assert groups.group("a").persistent
    assert groups.group("b").name == "(default)"
    assert groups.group("b").swap


def test_only_a_changed_launch_makes_two_lineups_differ_in_it() -> None:
    before = lineup(engine("a", name="A")).resolve("a")
    assert before.launch == lineup(engine("a", name="renamed")).resolve("a").launch
    assert before.launch != lineup(engine("a", env=("X=1",))).resolve("a").launch


def test_a_pinned_model_is_loaded_first_and_never_unloaded_for_being_idle() -> None:
    line = lineup(engine("a", ttl=9), engine("b", ttl=9, pinned=True), preload=("a", "b"))
    assert line.preload == ("b", "a")
    assert line.policy.models["b"].pinned
    assert line.policy.models["b"].ttl == 0


def test_a_model_may_have_a_queue_length_and_a_priority_of_its_own() -> None:
    line = lineup(engine("a", queue_length=2, priority=5), engine("b"))
    assert [line.policy.models[model].queue for model in "ab"] == [2, 7]
    assert [line.policy.models[model].priority for model in "ab"] == [5, 0]


def needing(name: str, size: int, **more: object) -> ModelEntry:
    return engine(name, memory=MemoryNeed({"CPU": size}), **more)


def test_models_in_no_group_stay_side_by_side_once_their_memory_is_known() -> None:
    models = {"a": needing("a", 5), "b": needing("b", 6), "c": engine("c")}
    line = line_up(ConfigDocument(models=models), QueueRules(side_by_side=True))
    assert must_leave("a", ["b"], line.policy.groups) == frozenset()
    assert must_leave("a", ["c"], line.policy.groups) == {"c"}
    assert must_leave("c", ["a"], line.policy.groups) == {"a"}
    known = with_measured(line, {"c": {"CPU": 3}})
    assert must_leave("c", ["a"], known.policy.groups) == frozenset()
    assert known.policy.models["c"].need == {"CPU": 3}
    assert known.policy.models["a"].need == {"CPU": 5}


def test_a_pinned_model_leaves_its_group() -> None:
    group = GroupEntry("g", members=("a", "b"))
    line = lineup(engine("a", pinned=True), engine("b"), groups={"g": group})
    assert must_leave("b", ["a"], line.policy.groups) == frozenset()
    assert must_leave("a", ["b"], line.policy.groups) == frozenset()


def test_what_a_configuration_says_of_engines_reaches_them(tmp_path: Path) -> None:
    groups = {"g": GroupEntry("g", members=("a",), start_port=9200)}
    line = lineup(
        engine("a", unload_timeout=3),
        engine("b"),
        groups=groups,
        health_check_timeout=77,
        unload_timeout=9,
        start_port=9100,
        log_level="warn",
    )
    a, b = (spec_of(line.resolve(name), tmp_path, line.start_timeout) for name in "ab")
    assert (a.start_port, b.start_port, line.start_port) == (9200, None, 9100)
    assert (a.start_timeout, b.start_timeout) == (77, 77)
    assert (a.stop_grace, b.stop_grace) == (3, 9)
    assert line.log_level == "warn"
    plain = spec_of(lineup(engine("a")).resolve("a"), tmp_path, 1)
    assert plain.stop_grace == GRACE_SECONDS


def test_a_groups_ports_are_no_part_of_how_an_engine_is_started() -> None:
    before = lineup(engine("a")).resolve("a")
    groups = {"g": GroupEntry("g", members=("a",), start_port=9200)}
    assert lineup(engine("a"), groups=groups).resolve("a").launch == before.launch
