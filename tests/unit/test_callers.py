from __future__ import annotations

import pytest

from models_app.rights import Rights, Scope, bounds_of
from proxy_app.callers import as_heard, as_told
from proxy_app.key_guard import CALLER
from proxy_app.keys import LOCAL, STRANGER, Caller
from proxy_app.pages_process.messages import said_of, scope_of

RIGHTS = Rights(3, "Ann", frozenset({Scope.INFERENCE}), bounds_of(["fox"], ["small"]), 7)


@pytest.mark.parametrize("caller", [LOCAL, STRANGER, Caller("laptop", 7, RIGHTS)])
def test_a_caller_is_the_same_in_another_process(caller: Caller) -> None:
    assert as_heard(as_told(caller)) == caller
    said = scope_of(said_of({"type": "http", CALLER: caller, "other": object()}))
    assert said == {"type": "http", CALLER: caller}


def test_whoever_sits_at_this_machine_is_known_by_identity() -> None:
    assert as_heard(as_told(LOCAL)) is LOCAL
