"""A registry for the admin's tests, and somebody who may see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from models_app import folders, hardware
from models_app.models import (
    EngineBuild,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)
from models_app.scan import scan
from tests.ggufs import cut, write_projector, write_reciter, write_split


@pytest.fixture
def admin_client(client: Client) -> Client:
    """A signed-in administrator, without the half second that hashing a password takes."""
    user = User.objects.create(username="admin", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(models: Path) -> ModelFolder:
    """One row at least of everything."""
    write_reciter(models / "fox-1b-q4_k_m.gguf", "Hello there.")
    write_projector(models / "mmproj-fox-1b.gguf")
    write_split(models / "big", 2)
    cut(write_reciter(models / "short.gguf", "Hello there."), -1000)
    folder = folders.add(models)
    scan([folder])
    hardware.store(hardware.detect())
    ModelGroup.objects.create(name="small")
    ServerSettings.current()
    Revision.objects.create(digest="0" * 64, yaml="models: {}\n")
    ScanRun.objects.create(total=10, processed=5, problem="One line.\nAnother.")
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, flags=["--model"], active=True
    )
    return folder


@pytest.fixture
def fox(registry: ModelFolder) -> ServedModel:
    return ServedModel.objects.get(model_id="fox-1b")
