"""The short forms of the campaigns on downloads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.campaigns import download_faults
from tests.server import ROOT


def test_downloads_survive_a_hub_that_cuts_corrupts_stalls_and_lies(tmp_path: Path) -> None:
    outcome = download_faults.run(40, 3, tmp_path)
    assert outcome.wrong == []
    assert outcome.ended.total() == 40
    assert outcome.ended["whole"] > 20


def test_a_download_survives_kills_of_its_worker_and_keeps_what_it_has() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.download_kills", "2", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
