"""Runs management commands in the home of a server under test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server import ROOT, clean_environment


def in_home(home: Path, code: str) -> str:
    """Run Python with the server's models at hand; gives back what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=ROOT,
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
