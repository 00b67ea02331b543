"""The folders that downloads may go to."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

from models_app.models import GgufFile, ModelFolder, ServerSettings


class BadPlace(ValueError):
    """A folder that downloads may not go to; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to choose. `models` are the GGUF files that the last scan found there."""

    path: str
    name: str
    default: bool
    models: int
    last_scanned_at: datetime | None = None


def default() -> Path:
    """Where downloads go when nothing is said."""
    saved = ServerSettings.current().download_dir
    return Path(saved) if saved else Path(settings.CLARACORE_HOME) / "models"


def places() -> list[Place]:
    """The default folder, then each tracked one. Reads no folder, so thousands of files cost
    nothing."""
    counted: Counter[int] = Counter()
    usual = default()
    in_default = 0
    rows = GgufFile.objects.exclude(state=GgufFile.State.VANISHED)
    for folder, path in rows.values_list("folder_id", "path"):
        counted[folder] += 1
        in_default += path.startswith(f"{usual}{os.sep}")
    found = [Place(str(usual), "Default Downloads", True, in_default)]
    found += [
        Place(
            folder.path,
            os.path.basename(folder.path) or folder.path,
            False,
            counted[folder.pk],
            folder.last_scanned_at,
        )
        for folder in ModelFolder.objects.filter(enabled=True)
        if folder.path != str(usual)
    ]
    return found


def chosen(wanted: str) -> Path:
    """The folder for a download: `wanted`, or the default for an empty one. Raises BadPlace.

    It has to be one of `places`, or lie below one once every link is followed.
    """
    if not wanted.strip():
        return default()
    if "\0" in wanted:
        raise BadPlace("The folder's name holds a character that cannot be used.")
    path = Path(os.path.expanduser(wanted.strip()))
    if not path.is_absolute():
        path = default() / path
    real = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(place.path)) for place in places()]
    if not any(real == root or root in real.parents for root in roots):
        raise BadPlace(
            f"{path} is neither the download folder nor a tracked one, nor below either. Track the "
            "folder first, or choose one of GET /api/models/download-destinations."
        )
    return real
