"""The engines page, as a browser without JavaScript uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from downloads_app.engines import current
from models_app.models import EngineBuild, EngineInstall, ServedModel
from tests.integration.engines.conftest import NAME, installed, ready
from tests.release_server import ReleaseServer, as_tar

pytestmark = pytest.mark.django_db

Status = EngineInstall.Status
PAGE = "/ui/engines/"


def text(reply: Any) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", reply.content.decode()).split())


def test_it_shows_the_program_in_use_and_nobody_is_asked_for_it(
    server: ReleaseServer, client: Client
) -> None:
    said = text(client.get(PAGE))
    assert "In use" in said and "No build of its own" in said
    assert "not asked for yet" in said
    assert server.asked == []


def test_an_update_is_found_installed_and_shown_with_its_trial(
    release: Path, server: ReleaseServer, client: Client, small: Path, tmp_path: Path
) -> None:
    ready(installed(), active=True)
    server.add("b9002", as_tar(small, tmp_path / NAME.format("b9002"), "b9002"))
    reply = client.post(f"{PAGE}check/", follow=True)
    assert "The newest build for this machine is b9002." in text(reply)
    assert "b9002 is out" in text(client.get(PAGE))
    body = {"source": "release", "version": "b9002", "use": "1"}
    reply = client.post(f"{PAGE}install/", body, follow=True)
    assert "b9002" in text(reply) and "Waiting" in text(reply)
    row = EngineInstall.objects.get(version="b9002")
    assert row.wanted
    EngineInstall.objects.filter(pk=row.pk).update(
        status=Status.RUNNING, phase="fetching", total_bytes=4 * 2**20, done_bytes=2**20
    )
    assert "Fetching 1.0 MiB of 4.0 MiB · used once it has passed its trial" in text(
        client.get(PAGE)
    )
    EngineInstall.objects.filter(pk=row.pk).update(
        status=Status.FAILED, phase="", reason="It ended while it loaded a trial model."
    )
    assert "It ended while it loaded a trial model." in text(client.get(PAGE))


def test_the_list_of_releases_is_read_when_the_page_asks_for_it(
    server: ReleaseServer, client: Client, small: Path, tmp_path: Path
) -> None:
    server.add("b90001", as_tar(small, tmp_path / NAME.format("b90001"), "b90001"))
    assert "b90001 is out" in text(client.get(f"{PAGE}newest/"))
    server.limited_until = 4_000_000_000
    assert "asked too often" in text(client.post(f"{PAGE}check/", follow=True))
    assert current.newest().version == "b90001"


def test_without_network_it_says_how_to_get_a_build_all_the_same(
    server: ReleaseServer, client: Client
) -> None:
    server.close()
    client.post(f"{PAGE}check/")
    said = text(client.get(PAGE))
    assert "could not be made. Look again once this server reaches it." in said
    assert "There is no engine" not in said
    assert "install the Python package or a build that lies on this server, below" in said


def test_builds_are_used_left_and_removed(release: Path, client: Client) -> None:
    first = ready(installed(), active=True)
    second = ready(installed(version="b9001"))
    reply = client.post(f"{PAGE}act/", {"use": second.pk}, follow=True)
    assert "is tried now" in text(reply)
    second.refresh_from_db()
    assert (second.status, second.wanted) == (Status.TRYING, True)
    reply = client.post(f"{PAGE}act/", {"remove": first.pk}, follow=True)
    assert "it is the active one" in text(reply)
    EngineInstall.objects.filter(pk=second.pk).update(status=Status.READY, wanted=False)
    client.post(f"{PAGE}act/", {"remove": second.pk})
    assert list(EngineInstall.objects.all()) == [first]
    assert "That build is no longer there" in text(
        client.post(f"{PAGE}act/", {"remove": second.pk}, follow=True)
    )


def test_going_back_says_where_to(release: Path, client: Client) -> None:
    before = ready(installed())
    now = ready(installed(version="b9001"), active=True)
    EngineInstall.objects.filter(pk=now.pk).update(previous=before)
    assert "Go back to b9001 cpu" in text(client.get(PAGE))
    assert "is tried now" in text(client.post(f"{PAGE}back/", follow=True))
    before.refresh_from_db()
    assert before.status == Status.TRYING
    EngineInstall.objects.update(active=False)
    assert "nothing to go back from" in text(client.post(f"{PAGE}back/", follow=True))


def test_pins_and_devices_are_shown_and_keep_a_build(release: Path, client: Client) -> None:
    row = ready(installed())
    device = {"name": "CUDA0", "description": "NVIDIA A10", "total": 2**34, "free": 2**34}
    EngineBuild.objects.filter(installs=row).update(devices=[device])
    ServedModel.objects.create(model_id="fox", cmd="x", engine_id=row.build_id)
    said = text(client.get(PAGE))
    assert "Pinned to it: fox" in said and "NVIDIA A10" in said
    assert "Every build is needed" in text(client.post(f"{PAGE}prune/", follow=True))


def test_what_cannot_be_installed_says_why(server: Any, client: Client) -> None:
    body = {"source": "archive", "path": "relative.zip"}
    assert "must be absolute" in text(client.post(f"{PAGE}install/", body, follow=True))
    body = {"source": "nonsense"}
    assert client.post(f"{PAGE}install/", body, follow=True).status_code == 200
    assert not EngineInstall.objects.exists()


def test_nothing_is_changed_by_looking(release: Path, client: Client) -> None:
    row = ready(installed())
    for path in ("act/", "back/", "prune/", "check/", "install/"):
        reply = client.get(f"{PAGE}{path}", {"remove": row.pk})
        assert reply["Location"] == PAGE
    assert EngineInstall.objects.filter(pk=row.pk).exists()
