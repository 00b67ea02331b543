"""Sets models up from the tracked folders: options saved, folders scanned, commands made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from models_app import choices, folders, introduce, scan_runs, system_settings
from models_app.models import GgufFile, ModelFolder, ScanRun, ServedModel


class NothingToDo(ValueError):
    """There is no folder to set models up from."""


@dataclass(frozen=True, slots=True)
class Started:
    """A set-up whose scan was asked for; `ignored` are options that mean nothing here."""

    run: ScanRun
    ignored: tuple[str, ...]


def enabled_folders() -> list[ModelFolder]:
    """The folders a set-up scans. Raises NothingToDo."""
    if not ModelFolder.objects.exists():
        raise NothingToDo("No folders in database. Add folders first using /api/config/folders")
    found = list(ModelFolder.objects.filter(enabled=True))
    if not found:
        raise NothingToDo("No enabled folders in database")
    return found


def regenerate(options: Mapping[str, Any], *, reset: bool = False) -> Started:
    """Save the options and scan all enabled folders. Raises NothingToDo.

    Commands are worked out anew whenever the configuration is built. With `reset` what people
    chose for single models is taken back as well, and models they deleted are made again.
    """
    with transaction.atomic():
        found = enabled_folders()
        ignored = system_settings.save_options(options)
        # What was given up when memory ran out is tried again.
        _models_of(found).exclude(rung={}).update(rung={})
        if reset:
            choices.back_to_automatic(_models_of(found))
            introduce.introduce_again(GgufFile.objects.filter(folder__in=found, served_as=None))
        return Started(scan_runs.request(), ignored)


def set_up_folder(path: str, options: Mapping[str, Any]) -> tuple[Started, ModelFolder]:
    """Track the folder at `path`, save the options and scan it. Raises folders.FolderError."""
    with transaction.atomic():
        try:
            folder = folders.tracked_as(path) or folders.add(path)
        except folders.AlreadyCovered as error:
            folder = error.covering
        if not folder.enabled:
            folder = folders.add(folder.path)
        ignored = system_settings.save_options(options)
        return Started(scan_runs.request([folder]), ignored), folder


def count_models(found: QuerySet[ModelFolder] | list[ModelFolder]) -> int:
    """How many models the last scan found in these folders."""
    return servable(GgufFile.objects.filter(folder__in=found)).count()


def servable(files: QuerySet[GgufFile]) -> QuerySet[GgufFile]:
    """The files among `files` that are whole models of their own; see `introduce.is_servable`."""
    return files.filter(
        state=GgufFile.State.OK, kind__in=introduce.SERVED_KINDS, first_part__isnull=True
    )


def _models_of(found: list[ModelFolder]) -> QuerySet[ServedModel]:
    return ServedModel.objects.filter(file__folder__in=found)
