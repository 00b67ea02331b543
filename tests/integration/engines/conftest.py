from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from downloads_app.engines import install, layout, orders
from models_app import hardware
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.models import EngineBuild, EngineInstall
from tests.llama import binary
from tests.release_server import ReleaseServer, as_tar, as_zip, running_releases, slim_build

Status = EngineInstall.Status
NAME = "llama-{}-bin-ubuntu-x64.tar.gz"
LINUX = Machine("linux", "amd64", Cpu("some", 4, 8, 4, ("avx2",)), Ram(8 * GIB, 8 * GIB))


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real llama-server in a folder of its own."""
    program = binary()
    if program is None:
        pytest.skip("no llama-server")
    return slim_build(program.resolve().parent, tmp_path_factory.mktemp("build") / "llama-b9001")


@pytest.fixture(scope="session")
def tar(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tar")
    return as_tar(build, folder / "llama-b9001-bin-ubuntu-x64.tar.gz", "b9001")


@pytest.fixture(scope="session")
def zipped(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_zip(build, tmp_path_factory.mktemp("zip") / "llama-b6527-bin-ubuntu-x64.zip")


@pytest.fixture
def server(settings: Any, tmp_path: Path, transactional_db: None) -> Iterator[ReleaseServer]:
    """A release server that the settings point to, an empty home and a plain Linux machine."""
    hardware.store(LINUX)
    with running_releases() as running:
        settings.CLARACORE_RELEASES_URL = running.url
        settings.CLARACORE_PRIVATE_HOSTS = []
        settings.CLARACORE_DOWNLOAD_HOSTS = []
        settings.CLARACORE_LLAMA_SERVER = ""
        settings.CLARACORE_HOME = tmp_path / "home"
        yield running


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A build that is none, but looks like one."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "llama-server").write_bytes(b"#!/bin/sh\n" + os.urandom(300_000))
    (folder / "llama-server").chmod(0o755)
    return folder


@pytest.fixture
def release(server: ReleaseServer, small: Path, tmp_path: Path) -> Path:
    """The archive of release b9001."""
    path = as_tar(small, tmp_path / NAME.format("b9001"), "b9001")
    server.add("b9001", path)
    return path


def installed(**values: Any) -> EngineInstall:
    """A row after a worker had it."""
    row = orders.place(orders.Order(**values))
    claimed = orders.claim(row.pk, "here:1:test")
    assert claimed is not None
    install.perform(claimed, patience=0.0)
    row.refresh_from_db()
    return row


def in_home() -> set[str]:
    folder = layout.engines_folder()
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


def ready(row: EngineInstall, *, active: bool = False) -> EngineInstall:
    """As if its trial run had succeeded."""
    build = EngineBuild.objects.create(path=row.binary, size=1, mtime_ns=1)
    row.status, row.build, row.active = Status.READY, build, active
    row.save()
    return row
