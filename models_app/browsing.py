"""Looking through the server's folders from afar: only where models are kept, and folders only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models_app import acting
from models_app import roots as model_roots
from models_app.models import ModelFolder
from models_app.rights import Scope

PLACES: Final = ("/srv", "/mnt", "/media", "/data", "/models", "/opt", "/Volumes")
"""Where models usually lie, besides the home folder of whoever runs the server."""

MOST_ENTRIES: Final = 500


class NotShown(ValueError):
    """A folder that is not shown. The text says why, and where to look instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder in the one that is looked at."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A folder and what is in it."""

    path: str
    above: str
    """The folder above; empty where looking ends."""
    folders: tuple[Entry, ...]
    models: int
    """GGUF files directly in it."""
    cut: bool
    """Whether there are more folders than are told."""


def roots() -> list[str]:
    """Where looking may begin: folders that exist, none of them inside another.

    Whoever may only name folders within the roots (`roots.py`) sees nothing else.
    """
    wanted = list(model_roots.roots())
    if acting.rights().may(Scope.ADMIN):
        wanted += [str(Path.home()), *PLACES]
        wanted += [os.path.dirname(path) for path in _tracked()]
    real = sorted({os.path.realpath(path) for path in wanted if os.path.isdir(path)})
    return [path for path in real if path != "/" and not _is_below_any(path, real)]


def look(path: str) -> Looked:
    """What is in a folder. Raises NotShown.

    Links are followed before it is decided, so that none leads out; hidden folders stay hidden.
    """
    if "\0" in path:
        raise NotShown("No folder has such a name.")
    real = os.path.realpath(path)
    allowed = roots()
    if real not in allowed and not _is_below_any(real, allowed):
        shown = f"Folders below {', '.join(allowed)} are" if allowed else "No folder is"
        raise NotShown(f"{path} is not shown. {shown}; an administrator can add any by its path.")
    if any(part.startswith(".") for part in Path(real).parts[1:]):
        raise NotShown(f"{path} is hidden. Write its path to add it all the same.")
    try:
        with os.scandir(real) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise NotShown(f"{path} cannot be read: {error.strerror}.") from error
    folders = sorted((one.name for one in entries if _is_folder(one)), key=str.casefold)
    return Looked(
        path=real,
        above="" if real in allowed else os.path.dirname(real),
        folders=tuple(Entry(name, os.path.join(real, name)) for name in folders[:MOST_ENTRIES]),
        models=sum(one.name.lower().endswith(".gguf") for one in entries),
        cut=len(folders) > MOST_ENTRIES,
    )


def _tracked() -> list[str]:
    return list(ModelFolder.objects.values_list("path", flat=True))


def _is_below_any(path: str, folders: list[str]) -> bool:
    return any(path != one and path.startswith(os.path.join(one, "")) for one in folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
