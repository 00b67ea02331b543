from __future__ import annotations

from pathlib import Path

import pytest

from models_app import folders
from models_app.models import ModelFolder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def tracked(models: Path) -> ModelFolder:
    return folders.add(models)
