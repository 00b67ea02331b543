"""A short form of `make hostile`."""

from __future__ import annotations

from pathlib import Path

from tests.hostile import attack, write_config
from tests.server import running_server


def test_hostile_requests_break_nothing(tmp_path: Path) -> None:
    with running_server(arguments=["--config", str(write_config(tmp_path))]) as server:
        server.wait_for_models("fake")
        findings = attack(server, 300, seed=1)
    assert not findings.faults, findings.faults[0]
    assert findings.statuses[200] and findings.statuses[400]
