from __future__ import annotations

import pytest

from proxy_app.api.sheets import cell


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_name_is_never_a_formula(sign: str) -> None:
    assert cell(f"{sign}cmd|' /C calc'!A0") == f"'{sign}cmd|' /C calc'!A0"


@pytest.mark.parametrize(("value", "shown"), [("fox-q8", "fox-q8"), (-1.5, -1.5), (None, "")])
def test_other_values_stay_as_they_are(value: object, shown: object) -> None:
    assert cell(value) == shown
