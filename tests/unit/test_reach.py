"""Which models a key or person that is limited to some, or to groups, may use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models_app.rights import Bounds, Rights, bounds_of
from proxy_app.access_errors import ModelNotAllowed
from proxy_app.keys import Caller
from proxy_app.lineup import Lineup
from proxy_app.reach import check_allowed, may_use

LINEUP = replace(Lineup(), group_of={"fox": "small", "elk": "small", "sea": "big"})


@pytest.mark.parametrize(
    ("bounds", "within"),
    [
        ((), {"fox", "elk", "sea", "owl"}),
        (bounds_of([], ["small"]), {"fox", "elk"}),
        (bounds_of(["sea"], ["small"]), {"fox", "elk", "sea"}),
        (bounds_of([], ["small", "big"]), {"fox", "elk", "sea"}),
        (bounds_of([], ["gone"]), set()),
        # A key may not do more than its person.
        (bounds_of([], ["small"]) + bounds_of(["fox", "sea"], []), {"fox"}),
    ],
)
def test_who_is_limited_to_groups_may_use_the_models_in_them(
    bounds: Bounds, within: set[str]
) -> None:
    caller = Caller("key", 1, Rights(bounds=bounds))
    models = {"fox", "elk", "sea", "owl"}
    assert {model for model in models if may_use(caller, LINEUP, model)} == within
    for model in models - within:
        with pytest.raises(ModelNotAllowed):
            check_allowed(caller, LINEUP, model, model)
    for model in within:
        check_allowed(caller, LINEUP, model, model)
