"""What the flags of `manage.py serve` take, and what stops it before it begins."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from django.core.management import CommandError

from proxy_app.management.commands.serve import Command, _prepare_interpreter
from tests.server import ROOT, clean_environment


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--port", "x", "must be a whole number, not 'x'"),
        ("--port", "70000", "must be between 1 and 65535"),
        ("--ram", "much", "must be a number of GiB, not 'much'"),
        ("--vram", "8GB", "must be a number of GiB, not '8GB'"),
        ("--vram", "nan", "must be a number of GiB above 0"),
    ],
)
def test_a_bad_number_is_refused_in_plain_words(flag: str, value: str, words: str) -> None:
    parser = Command().create_parser("manage.py", "serve")
    with pytest.raises(CommandError) as caught:
        parser.parse_args([flag, value])
    assert flag in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("command", ["serve", "check", "migrate"])
def test_a_bad_variable_ends_with_one_line_and_no_traceback(tmp_path: Path, command: str) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env=clean_environment(tmp_path / "home", {"CLARACORE_PORT": "many"}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "CLARACORE_PORT must be a whole number, not 'many'.\n"


def test_threads_that_render_pages_give_way_to_streams_ten_times_as_often() -> None:
    """One that kept the interpreter for Python's 5 ms held up every stream meanwhile."""
    before, thresholds = sys.getswitchinterval(), gc.get_threshold()
    try:
        with warnings.catch_warnings():
            _prepare_interpreter()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        assert gc.get_freeze_count() > 0
    finally:
        sys.setswitchinterval(before)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
