from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from models_app.document import ConfigDocument, GroupEntry, ModelEntry
from models_app.merging import merge

BASE = ConfigDocument(
    models={
        "a": ModelEntry("a", cmd="run a", ttl=1, aliases=("x", "y")),
        "b": ModelEntry("b", cmd="run b"),
    },
    groups={"g": GroupEntry("g", members=("a",))},
    macros={"m": "1"},
    start_port=9000,
    kept_keys={"peers": {"p": 1}},
)


def with_model(document: ConfigDocument, model: str, **values: object) -> ConfigDocument:
    entry = replace(document.models[model], **values)  # type: ignore[arg-type]
    return replace(document, models={**document.models, model: entry})


def test_nothing_changed_is_the_present_state() -> None:
    now = with_model(BASE, "b", ttl=9)
    assert merge(BASE, BASE, now).document == now
    assert merge(BASE, BASE, now).conflicts == ()


def test_an_edit_of_a_still_configuration_is_taken_whole() -> None:
    edit = ConfigDocument(models={"c": ModelEntry("c", cmd="run c")})
    assert merge(BASE, edit, BASE).document == edit


def test_both_changes_of_one_model_come_together() -> None:
    edit = with_model(BASE, "a", ttl=60)
    now = with_model(BASE, "a", cmd="run a --more", name="A")
    merged = merge(BASE, edit, now)
    assert merged.conflicts == ()
    expected = replace(BASE.models["a"], ttl=60, cmd="run a --more", name="A")
    assert merged.document.models["a"] == expected


def test_the_same_change_on_both_sides_is_no_conflict() -> None:
    changed = with_model(BASE, "a", ttl=60)
    assert merge(BASE, changed, changed).conflicts == ()


def test_different_changes_of_one_value_are_a_conflict_the_edit_wins() -> None:
    merged = merge(BASE, with_model(BASE, "a", ttl=60), with_model(BASE, "a", ttl=70))
    assert merged.conflicts == ("model a: ttl was changed there and here",)
    assert merged.document.models["a"].ttl == 60


def test_removing_what_was_changed_elsewhere_is_a_conflict() -> None:
    edit = replace(BASE, models={"b": BASE.models["b"]})
    merged = merge(BASE, edit, with_model(BASE, "a", ttl=70))
    assert merged.conflicts == ("model a was changed there and here",)
    assert set(merged.document.models) == {"b"}
    assert merge(BASE, edit, with_model(BASE, "b", ttl=70)).conflicts == ()


def test_settings_macros_kept_keys_and_groups_merge_one_by_one() -> None:
    edit = replace(
        BASE,
        start_port=9100,
        macros={"m": "2"},
        groups={"g": GroupEntry("g", swap=False, members=("a",))},
        kept_keys={"peers": {"p": 2}},
    )
    now = replace(
        BASE,
        log_level="debug",
        macros={"m": "1", "n": "3"},
        groups={"g": GroupEntry("g", members=("b", "a")), "h": GroupEntry("h")},
        kept_keys={"peers": {"p": 1}, "profiles": {}},
    )
    merged = merge(BASE, edit, now)
    assert merged.conflicts == ()
    assert merged.document == replace(
        BASE,
        start_port=9100,
        log_level="debug",
        macros={"m": "2", "n": "3"},
        groups={"g": GroupEntry("g", swap=False, members=("a", "b")), "h": GroupEntry("h")},
        kept_keys={"peers": {"p": 2}, "profiles": {}},
    )


def test_the_order_of_aliases_and_members_is_no_change() -> None:
    edit = with_model(BASE, "a", aliases=("y", "x"))
    assert merge(BASE, edit, with_model(BASE, "a", aliases=("x", "z"))).conflicts == ()


PORTS = st.integers(1, 3)


@given(st.tuples(PORTS, PORTS, PORTS), st.tuples(PORTS, PORTS, PORTS))
def test_an_edit_is_never_lost_and_a_change_only_where_a_conflict_says_so(
    ports: tuple[int, int, int], ttls: tuple[int, int, int]
) -> None:
    base, edit, now = (
        ConfigDocument(start_port=port, global_ttl=ttl)
        for port, ttl in zip(ports, ttls, strict=True)
    )
    merged = merge(base, edit, now)
    for name in ("start_port", "global_ttl"):
        before, theirs, ours = (getattr(document, name) for document in (base, edit, now))
        result = getattr(merged.document, name)
        assert result == (ours if theirs == before else theirs)
        lost = ours != before and result != ours
        assert lost == any(name in text for text in merged.conflicts)
