"""What the first implementation did to a working llama-server, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from downloads_app.engines import current
from models_app import engine_installs
from models_app.models import EngineInstall
from tests.hub import Fault
from tests.integration.engines.conftest import in_home, installed, ready
from tests.release_server import ReleaseServer

pytestmark = pytest.mark.django_db

Status = EngineInstall.Status


def is_used(row: EngineInstall) -> bool:
    located = engine_installs.locate()
    return located is not None and str(located.path) == row.binary and Path(row.binary).is_file()


@pytest.mark.parametrize("trouble", ["unreachable", "rate limit", "server error"])
def test_l1_a_list_that_cannot_be_read_removes_nothing(
    release: Path, server: ReleaseServer, client: Client, settings: Any, trouble: str
) -> None:
    """b6527 was then taken for the newest, and the folder of the build in use deleted for it."""
    row = ready(installed(), active=True)
    if trouble == "unreachable":
        settings.CLARACORE_RELEASES_URL = "http://127.0.0.1:9/releases"
    elif trouble == "rate limit":
        server.limited_until = 4_000_000_000
    else:
        server.faults.append(Fault("status", -1, status=500, at="list"))
    assert current.newest(fresh=True).version in ("", "b9001")
    for path in ("update", "update/force"):
        reply = client.post(f"/api/binary/{path}?wait=0")
        assert reply.status_code in (200, 502, 503)
    assert is_used(row)


def test_l2_the_name_of_the_file_comes_from_the_list_of_the_release(
    release: Path, server: ReleaseServer
) -> None:
    """Names were built by hand, as zip files that no release had any more."""
    row = installed()
    assert row.status == Status.TRYING
    told = server.releases[0].files
    asked = {one.path.rpartition("/")[2] for one in server.asked if one.at == "asset"}
    assert asked == set(told) == {release.name}


@pytest.mark.parametrize("fault", ["status", "corrupt"])
def test_l13_a_forced_update_that_fails_leaves_what_worked(
    release: Path, server: ReleaseServer, fault: str
) -> None:
    """The old program was removed before the new one was there."""
    row = ready(installed(), active=True)
    before = in_home()
    server.faults.append(Fault(fault, -1, after=100, status=404, at="asset"))
    failed = installed(version="b9001", activate=True)
    assert failed.status == Status.FAILED
    assert is_used(row)
    assert in_home() == before
