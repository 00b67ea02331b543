"""A short day in the office: `make office` runs the long one, with kills."""

from __future__ import annotations

import pytest

from tests import container
from tests.campaigns import office

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not container.can_run(), reason="namespaces are root's to make"),
]


def test_everybody_is_answered_and_everything_is_written_down() -> None:
    tally, missing = office.run(seconds=15, users=8, kill=False, seed=11)
    assert tally.wrong == []
    assert missing == 0
    assert tally.answered > 0 and tally.memory and tally.added
