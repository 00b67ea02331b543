from __future__ import annotations

from dataclasses import replace

import pytest

from models_app.document import ConfigDocument, GroupEntry, ModelEntry
from models_app.effects import Effect, effect
from proxy_app.lineup import line_up

BASE = ModelEntry("a", cmd="x --port ${PORT} ${flags}")


def document(*entries: ModelEntry, **values: object) -> ConfigDocument:
    models = {entry.model_id: entry for entry in entries}
    return ConfigDocument(models=models, macros={"flags": "-v"}, **values)  # type: ignore[arg-type]


def test_it_sorts_models_by_what_happens_to_them() -> None:
    b, c, d = (replace(BASE, model_id=name) for name in "bcd")
    before = document(BASE, b, c)
    after = document(replace(BASE, cmd="y --port ${PORT}"), replace(b, ttl=1), d)
    found = effect(before, after, {"a", "b"})
    assert found == Effect(
        added=("d",), removed=("c",), changed=("a",), restarts=("a",), stays=("b",)
    )
    assert str(found) == (
        "1 model is new, 1 model goes, 1 model restarts once its requests are done, "
        "1 model stays loaded."
    )
    assert str(effect(before, before)) == "No model is touched."
    assert str(effect(before, after)) == (
        "1 model is new, 1 model goes, 1 model starts otherwise next time."
    )


CHANGES = {
    "cmd": replace(BASE, cmd="x --port ${PORT} -q"),
    "spaces": replace(BASE, cmd="x   --port\n${PORT}  -v"),
    "env": replace(BASE, env=("A=1",)),
    "proxy": replace(BASE, proxy="http://127.0.0.1:${PORT}/v"),
    "check": replace(BASE, check_endpoint="none"),
    "broken": replace(BASE, cmd="x ${nothing} ${PORT}"),
    "name": replace(BASE, name="A", description="B", aliases=("c",)),
    "ttl": replace(BASE, ttl=5, concurrency_limit=3, unlisted=True),
    "stop": replace(BASE, cmd_stop="kill ${PID}"),
    "filters": replace(BASE, strip_params=("top_k",), use_model_name="z"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_says_what_the_runner_will_do(name: str) -> None:
    """The runner restarts an engine when its launch differs; the preview must not disagree."""
    before, after = document(BASE), document(CHANGES[name])
    served = [line_up(each).models["a"].launch for each in (before, after)]
    assert bool(effect(before, after).changed) is (served[0] != served[1])


def test_a_macro_and_a_group_count_for_what_they_do() -> None:
    before = document(BASE)
    quiet = ConfigDocument(models=before.models, macros={"flags": "-q"})
    assert effect(before, quiet).changed == ("a",)
    grouped = document(BASE, groups={"g": GroupEntry("g", members=("a",))})
    assert effect(before, grouped, {"a"}).stays == ("a",)
