"""Room on the file system that holds the server's home."""

from __future__ import annotations

from pathlib import Path

import psutil

from models_app.machine import Disk


def read(folder: Path) -> Disk:
    """The file system below `folder`, or below the nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = psutil.disk_usage(str(folder))
    return Disk(path=str(folder), total=usage.total, free=usage.free)
