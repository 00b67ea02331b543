"""What `manage.py check` says about the engine and the folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import DatabaseError
from django.db.utils import DEFAULT_DB_ALIAS

from models_app import engine_build
from models_app.models import ModelFolder


def engine(**_: Any) -> list[CheckMessage]:
    """Warns when there is no llama-server, or not where CLARACORE_LLAMA_SERVER says."""
    try:
        if engine_build.locate() is not None or _is_one_installed():
            return []
    except engine_build.EngineProblem as problem:
        return [
            Warning(
                str(problem),
                hint="Set it to a llama-server binary, or unset it to have one looked for.",
                id="models_app.W002",
            )
        ]
    return [Warning(engine_build.NO_ENGINE, hint=engine_build.ENGINE_SOURCES, id="models_app.W001")]


def _is_one_installed() -> bool:
    """Without a look into the database, which may not be there yet."""
    return any(Path(settings.CLARACORE_HOME, "engines").glob("[!.]*/**/llama-server"))


def folders(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warns of each folder in use that is gone. Reads the database, so only when asked to."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        tracked = list(ModelFolder.objects.filter(enabled=True))
    except DatabaseError:
        # Not migrated yet, or out of reach; whatever needs the database says so better.
        return []
    return [
        Warning(
            f"The models folder {folder.path} is gone.",
            hint="Mount or restore it, or let it go in the admin; its models cannot be loaded.",
            obj=folder,
            id="models_app.W003",
        )
        for folder in tracked
        if not Path(folder.path).is_dir()
    ]
