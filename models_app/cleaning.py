"""Takes models out whose file is gone, and all but one of those that share a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from django.db import transaction

from models_app import catalog
from models_app.config_yaml import ConfigError, words
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import GgufFile, ServedModel, ServerSettings


@dataclass(frozen=True, slots=True)
class Missing:
    """Models that were removed, with the path that is gone, and folders that cannot be seen."""

    removed: tuple[tuple[str, str], ...]
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Ids of models that shared a file with one that was kept, and of those."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]


def remove_missing() -> Missing:
    """Delete the models whose file is gone.

    A tracked folder that is not there at all may be a disk that is not mounted now: its models
    stay, and the folder is named. When a file comes back, a scan makes a model of it again.
    """
    removed: dict[int, tuple[str, str]] = {}
    unreachable, gone = set(), []
    with transaction.atomic():
        for model, path in _paths():
            if os.path.lexists(path):
                continue
            folder = model.file.folder.path if model.file else ""
            if folder and not os.path.isdir(folder):
                unreachable.add(folder)
            else:
                removed[model.pk] = (model.model_id, path)
                if model.file and model.file.path == path:
                    gone.append(model.file.pk)
        GgufFile.objects.filter(pk__in=gone).update(introduced=False)
        ServedModel.objects.filter(pk__in=removed).delete()
    return Missing(tuple(sorted(removed.values())), tuple(sorted(unreachable)))


def remove_duplicates() -> Duplicates:
    """Delete all but the oldest of the models that are served from the same file."""
    by_file: dict[str, list[ServedModel]] = {}
    with transaction.atomic():
        for model, path in _paths():
            by_file.setdefault(os.path.realpath(path), []).append(model)
        sets = [sorted(models, key=_age) for models in by_file.values() if len(models) > 1]
        gone = [model for models in sets for model in models[1:]]
        ServedModel.objects.filter(pk__in=[model.pk for model in gone]).delete()
    return Duplicates(
        removed=tuple(sorted(model.model_id for model in gone)),
        kept=tuple(sorted(models[0].model_id for models in sets)),
    )


def _age(model: ServedModel) -> int:
    return int(model.pk)


def _paths() -> Iterable[tuple[ServedModel, str]]:
    """Models with the path of the file they are served from, where one can be told."""
    document = ConfigDocument(macros=ServerSettings.current().macros)
    for model in catalog.rows_with_relations():
        path = path_of(model, document)
        if path:
            yield model, path


def path_of(model: ServedModel, document: ConfigDocument) -> str:
    """The file that the model's own command names, else the one that a scan found; "" for none."""
    if not model.cmd.strip():
        return model.file.path if model.file else ""
    entry = ModelEntry(model.model_id, cmd=model.cmd, macros=model.macros or {})
    try:
        argv = words(entry, document)
    except ConfigError:
        return ""
    named = [after for option, after in pairwise(argv) if option in ("--model", "-m")]
    # A relative path or a macro that is filled in at the start tells nothing here.
    return named[-1] if named and os.path.isabs(named[-1]) and "${" not in named[-1] else ""
