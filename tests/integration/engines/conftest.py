from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models_app import hardware
from models_app.machine import GIB, Cpu, Machine, Ram
from tests.llama import binary
from tests.release_server import ReleaseServer, as_tar, as_zip, running_releases, slim_build

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
