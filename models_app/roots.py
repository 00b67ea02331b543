"""In which folders models may lie: nothing is read or written outside of them.

They are the tracked folders, the download folder and what CLARACORE_MODEL_ROOTS names. An
administrator adds one by tracking it; whoever only cares for models stays within.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from models_app import acting
from models_app.models import ModelFolder, ServerSettings
from models_app.rights import Scope
from models_app.walk import is_inside


class OutsideRoots(ValueError):
    """A path that whoever acts may not name; the text says who can help."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} lies outside the folders that models may come from. An administrator can "
            "track it, or name it in CLARACORE_MODEL_ROOTS."
        )


def check(path: str | os.PathLike[str]) -> None:
    """Raises OutsideRoots for a path outside, unless an administrator names it."""
    if not acting.rights().may(Scope.ADMIN) and not is_inside(os.fspath(path), roots()):
        raise OutsideRoots(os.fspath(path))


def roots(more: Iterable[str] = ()) -> tuple[str, ...]:
    """The roots and `more`, with every link on the way to them followed."""
    saved = ServerSettings.current().download_dir
    named = {
        *ModelFolder.objects.values_list("path", flat=True),
        saved or str(Path(settings.CLARACORE_HOME) / "models"),
        *settings.CLARACORE_MODEL_ROOTS,
        *more,
    }
    return tuple(sorted({os.path.realpath(path) for path in named}))
