"""The list of releases: kept, asked for seldom, and never a reason for something to break."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from downloads_app.engines import releases
from downloads_app.trouble import Trouble
from tests.hub import Fault
from tests.release_server import ReleaseServer

NOW = 2_000_000_000.0


@pytest.fixture(autouse=True)
def some(server: ReleaseServer, tmp_path: Path) -> None:
    file = tmp_path / "llama-b9001-bin-ubuntu-x64.tar.gz"
    file.write_bytes(b"build")
    server.add("b9000", file)
    server.add("b9001", file)


def tags(found: releases.Listing) -> list[str]:
    return [release.tag for release in found.releases]


def test_it_keeps_the_list_and_asks_with_its_etag_once_it_is_old(server: ReleaseServer) -> None:
    assert tags(releases.listing(now=NOW)) == ["b9001", "b9000"]
    assert tags(releases.listing(now=NOW + 60)) == ["b9001", "b9000"]
    assert server.statuses == [200]
    assert tags(releases.listing(now=NOW + 3600)) == ["b9001", "b9000"]
    assert server.statuses == [200, 304]
    server.add("b9002")
    assert tags(releases.listing(now=NOW + 7200)) == ["b9002", "b9001", "b9000"]
    assert server.statuses == [200, 304, 200]


def test_it_knows_digest_size_and_address_of_every_file(server: ReleaseServer) -> None:
    asset = releases.listing(now=NOW).releases[0].assets[0]
    blob = server.releases[0].files[asset.name]
    assert (asset.sha256, asset.size) == (blob.sha256, 5)
    assert asset.url == f"{server.base}/assets/b9001/{asset.name}"


def test_it_leaves_a_server_alone_that_says_too_often_until_the_time_it_names(
    server: ReleaseServer,
) -> None:
    """GitHub lets 60 questions an hour through, and counts those that it refuses."""
    releases.listing(now=NOW)
    server.limited_until = int(NOW + 5000)
    limited = releases.listing(now=NOW + 3600)
    assert tags(limited) == ["b9001", "b9000"]
    assert "asked too often" in limited.problem
    assert "asked too often" in releases.listing(now=NOW + 4900, fresh=True).problem
    assert server.statuses == [200, 403]
    server.limited_until = 0
    assert releases.listing(now=NOW + 5001).problem == ""
    assert server.statuses == [200, 403, 304]


def test_it_keeps_to_retry_after(server: ReleaseServer) -> None:
    server.faults.append(Fault("status", status=429, headers={"Retry-After": "90"}, at="list"))
    assert releases.listing(now=NOW).problem
    assert releases.listing(now=NOW + 80).problem
    assert tags(releases.listing(now=NOW + 91)) == ["b9001", "b9000"]
    assert server.statuses == [429, 200]


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_failing_server_costs_nothing_but_news(server: ReleaseServer, status: int) -> None:
    releases.listing(now=NOW)
    server.faults.append(Fault("status", status=status, times=-1, at="list"))
    failed = releases.listing(now=NOW + 3600)
    assert tags(failed) == ["b9001", "b9000"]
    assert str(status) in failed.problem
    releases.listing(now=NOW + 3610)  # Nobody is made to wait for it again at once.
    assert server.statuses == [200, status]


def test_it_says_what_is_no_list_of_releases(server: ReleaseServer, settings: Any) -> None:
    settings.CLARACORE_RELEASES_URL = (
        f"{server.base}/assets/b9001/llama-b9001-bin-ubuntu-x64.tar.gz"
    )
    found = releases.listing(now=NOW)
    assert found.releases == ()
    assert "CLARACORE_RELEASES_URL" in found.problem


def test_without_network_it_knows_what_it_knew(server: ReleaseServer, settings: Any) -> None:
    """The first ClaraCore took b6527 for the newest then, and removed what worked."""
    releases.listing(now=NOW)
    server.close()
    offline = releases.listing(now=NOW + 3600)
    assert tags(offline) == ["b9001", "b9000"]
    assert "could not be made" in offline.problem
    settings.CLARACORE_RELEASES_URL = "http://127.0.0.1:9/releases"
    assert releases.listing(now=NOW).releases == ()


def test_it_finds_a_release_that_is_too_old_for_the_list(server: ReleaseServer) -> None:
    assert releases.find("b9000").tag == "b9000"
    server.add("b5000")
    assert releases.find("b5000").tag == "b5000"
    with pytest.raises(Trouble, match="has no release b1"):
        releases.find("b1")


def test_drafts_and_unusable_entries_are_left_out(server: ReleaseServer) -> None:
    server.add("b9003", draft=True)
    assert "b9003" not in tags(releases.listing(now=NOW))
    assert releases.parse([None, {}, {"tag_name": 5}, {"tag_name": "b1", "assets": [1, {}]}], "u")
    assert releases.parse({"message": "Not Found"}, "u") == ()


def test_a_mirror_may_be_in_the_local_network_but_leads_nowhere_else_in_it(
    server: ReleaseServer,
) -> None:
    allowed = releases.rules()
    allowed.check(server.url)
    allowed.check("https://github.com/x")
    assert allowed.addresses("127.0.0.1", 80) == ["127.0.0.1"]
    with pytest.raises(Trouble):
        allowed.check("http://192.168.0.1/asset.zip")


def test_the_real_time_is_used_when_none_is_given(server: ReleaseServer) -> None:
    server.limited_until = int(time.time() + 3600)
    assert "answers again at" in releases.listing().problem
