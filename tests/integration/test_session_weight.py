"""Helpers of the server give way with their whole session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")
TELL = """
import os
from proxy_app.session_weight import let_others_go_first
let_others_go_first(7)
print(open("/proc/self/autogroup").read())
"""


def told(*, own_session: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TELL],
        start_new_session=own_session,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.skipif(
    not AUTOGROUP.exists() or not AUTOGROUP.read_text(), reason="sessions are not weighed here"
)
def test_it_gives_way_with_its_own_session_and_never_with_somebody_elses() -> None:
    assert "nice 7" in told(own_session=True)
    assert "nice 7" not in told(own_session=False)
