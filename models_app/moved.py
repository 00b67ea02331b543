"""Files that are gone: where they may be now, and going on with them there.

A scan follows a file that was moved. This is for one that was copied, found in both places, and
then deleted in the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from models_app import introduce
from models_app.models import GgufFile, ServedModel


@dataclass(frozen=True, slots=True)
class Vanished:
    """A file that is gone, the models that wait for it, and the file it may have become."""

    file: GgufFile
    models: tuple[ServedModel, ...]
    twin: GgufFile | None


def vanished() -> list[Vanished]:
    """All files that are gone, in a number of queries that does not grow with them."""
    gone = list(
        GgufFile.objects.filter(state=GgufFile.State.VANISHED)
        .select_related("folder")
        .prefetch_related("served_as")
        .defer("facts")
    )
    present = _by_name_and_size(
        GgufFile.objects.filter(state=GgufFile.State.OK, size__in={file.size for file in gone})
        .select_related("folder")
        .defer("facts")
    )
    return [
        Vanished(file, tuple(file.served_as.all()), present.get(_name_and_size(file)))
        for file in gone
    ]


def waiting() -> list[ServedModel]:
    """Models that have neither a file nor a command."""
    return list(ServedModel.objects.filter(file=None, cmd="").order_by("model_id"))


def take_over(file: GgufFile, twin: GgufFile) -> int:
    """Serve the models of a file that is gone from its twin; how many.

    The model that a scan made of the twin goes when nobody changed it: it would be one too many.
    Raises ValueError when the file is there, or the twin is none.
    """
    if file.state != GgufFile.State.VANISHED or _name_and_size(file) != _name_and_size(twin):
        raise ValueError(f"{twin} cannot take the place of {file}. Scan again and look once more.")
    with transaction.atomic():
        introduce.lock()
        made = twin.served_as.select_related("file").prefetch_related("aliases")
        untouched = [model.pk for model in made if introduce.is_untouched(model)]
        ServedModel.objects.filter(pk__in=untouched).delete()
        count = ServedModel.objects.filter(file=file).update(file=twin)
        GgufFile.objects.filter(pk=twin.pk).update(introduced=True)
        file.delete()
    return count


def _by_name_and_size(files: Iterable[GgufFile]) -> dict[tuple[str, int], GgufFile]:
    return {_name_and_size(file): file for file in files}


def _name_and_size(file: GgufFile) -> tuple[str, int]:
    return os.path.basename(file.path), file.size
