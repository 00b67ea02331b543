"""Files to scan, and what a scan made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.scan import Progress, scan
from tests.ggufs import write_reciter


def reciter(path: Path, **metadata: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_reciter(path, "Hello there.", metadata=metadata)


def ids() -> dict[str, str]:
    """Each model's id, and the file it is served from."""
    return {
        model.model_id: model.file.relative_path if model.file else ""
        for model in ServedModel.objects.select_related("file")
    }


def files() -> dict[str, str]:
    """Each file's state."""
    return dict(GgufFile.objects.values_list("relative_path", "state"))


def file(relative_path: str) -> GgufFile:
    return GgufFile.objects.get(relative_path=relative_path)


def read_paths(folder: ModelFolder) -> list[str]:
    """The files that a scan of `folder` opens."""
    seen: list[str] = []

    def report(progress: Progress) -> None:
        if progress.step == "Reading files":
            seen.append(progress.current)

    scan([folder], report)
    return seen
