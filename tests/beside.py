"""The whole suite, its modules beside each other; what fails there is run again alone.

    python -m tests.beside [options of pytest]

Some 4,000 tests with real engines, browsers and databases share a machine's processors: a wait that
is long enough alone may be too short there. What fails alone, too, is wrong, and so is a suite of
which many tests fail. The names of those that passed only alone are printed: they need a longer
wait, or hide a race.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BESIDE: Final = ("--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder")

MOST: Final = 10
"""Tests that may fail the first time."""

TESTS_FAILED: Final = 1
"""Pytest's exit code when tests ran and some failed."""


def failed() -> list[str]:
    """The tests that failed in the run before, as pytest remembers them."""
    kept = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
    return list(json.loads(kept.read_text())) if kept.exists() else []


def run(*options: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT).returncode


def main(options: list[str]) -> int:
    """Pytest's exit code."""
    code = run("--cache-clear", *BESIDE, *options)
    if code != TESTS_FAILED:
        return code
    names = failed()
    if not 0 < len(names) <= MOST:
        return code
    print(f"\n{len(names)} failed beside others. Each is run again alone:", flush=True)
    code = run(*names)
    if code == 0:
        print("They passed alone:", *names, sep="\n  ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
