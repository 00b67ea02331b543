"""What models took is known as long as they are started the same way, over restarts too."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_app.document import ConfigDocument, MemoryNeed, ModelEntry
from proxy_app.lineup import Lineup, QueueRules, line_up
from proxy_app.measurements import Measurements

PLANNED = MemoryNeed({"CPU": 4})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "measured.json"


def lineup(cmd: str = "serve --key secret --port ${PORT}") -> Lineup:
    """A command of somebody's own, and a planned model."""
    entries = {"own": ModelEntry("own", cmd=cmd), "qwen": ModelEntry("qwen", cmd, memory=PLANNED)}
    return line_up(ConfigDocument(models=entries), QueueRules(side_by_side=True))


def test_what_was_measured_counts_from_then_on(file: Path) -> None:
    before, known = lineup(), Measurements(file)
    known.note(before, "own", {"CPU": 7})
    after = known.applied(before)
    assert after.policy.models["own"].need == {"CPU": 7}
    # It may be loaded beside others now.
    assert before.policy.groups.group("own").swap
    assert not after.policy.groups.group("own").swap


def test_another_command_is_another_measurement(file: Path) -> None:
    known = Measurements(file)
    known.note(lineup(), "own", {"CPU": 7})
    other = lineup("serve --everything --port ${PORT}")
    assert known.of(other.models["own"]) is None
    assert known.applied(other) == other


def test_the_next_server_knows_it_of_a_command_of_ones_own(file: Path) -> None:
    """A planned model's is in the database, with the build that it was measured with."""
    known = Measurements(file)
    known.note(lineup(), "own", {"CPU": 7, "CUDA0": 9})
    known.note(lineup(), "qwen", {"CPU": 5})
    following = Measurements(file)
    assert following.of(lineup().models["own"]) == {"CPU": 7, "CUDA0": 9}
    assert following.of(lineup().models["qwen"]) is None
    assert "secret" not in file.read_text()


def test_a_model_that_is_gone_is_forgotten(file: Path) -> None:
    known = Measurements(file)
    known.note(lineup(), "own", {"CPU": 7})
    only = line_up(ConfigDocument(models={"new": ModelEntry("new", cmd="x ${PORT}")}))
    known.note(only, "new", {"CPU": 1})
    assert Measurements(file).of(lineup().models["own"]) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"own": 5}', '{"own": ["x", {"CPU": "a"}]}'])
def test_a_file_that_is_none_of_ours_is_left_aside(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_text(text)
    known = Measurements(file)
    assert "is left aside" in caplog.text
    known.note(lineup(), "own", {"CPU": 7})
    assert Measurements(file).of(lineup().models["own"]) == {"CPU": 7}
