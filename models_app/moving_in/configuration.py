"""A config.yaml of llama-swap or of the first implementation: its models, groups and settings.

The files that its commands name are scanned first. A model keeps the id that clients know, and one
of ours that was made of the same file takes that id instead of standing beside it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from django.db import transaction

from models_app import adding, answering, catalog, importing, introduce
from models_app.config_yaml import ConfigError, ParsedConfig, parse, words
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import ModelAlias, ServedModel
from models_app.moving_in.report import CannotMoveIn, Report
from models_app.moving_in.tracking import Show, track
from models_app.plans import PlanContext

_MODEL: Final = ("--model", "-m")
_ENGINE: Final = "llama-server"


def take(text: str, show: Show, *, tune: bool = False) -> Report:
    """Bring what a config.yaml says. Raises CannotMoveIn for a text that is none.

    A command of llama-server gives way to settings chosen for this machine where its program is
    not here, and with `tune` wherever its file is.
    """
    try:
        parsed = parse(text)
    except ConfigError as error:
        raise CannotMoveIn(f"The configuration cannot be read: {error}.") from error
    report = Report(notes=[f"config.yaml: {warning}" for warning in parsed.warnings])
    commands = _commands(parsed.document)
    files = {model: file for model, argv in commands.items() if (file := _file_of(argv))}
    track(_folders(files.values()), report, show)
    old_ids = _take_ids(files)
    tuned = {
        model
        for model, argv in commands.items()
        if model in files
        and _is_engine(argv)
        and (tune or shutil.which(argv[0]) is None)
        and adding.served_from(files[model])
    }
    try:
        done = importing.apply(_without_commands(parsed, tuned))
    except ConfigError as error:
        raise CannotMoveIn(f"The configuration cannot be taken: {error}.") from error
    _leave_to_us(tuned, old_ids)
    _tell(done, report)
    _tell_commands(commands, files, tuned, report)
    return report


def _commands(document: ConfigDocument) -> dict[str, list[str]]:
    found = {}
    for model, entry in document.models.items():
        try:
            found[model] = list(words(entry, document))
        except ConfigError:
            continue  # importing says what is wrong with it
    return found


def _file_of(argv: list[str]) -> str:
    for option, after in pairwise(argv):
        if option in _MODEL and os.path.isabs(after):
            return os.path.normpath(after)
    return ""


def _is_engine(argv: list[str]) -> bool:
    name = os.path.basename(argv[0].replace("\\", "/")) if argv else ""
    return name.removesuffix(".exe") == _ENGINE


def _folders(files: Iterable[str]) -> dict[str, bool]:
    return {os.path.dirname(file): False for file in files if os.path.isfile(file)}


def _take_ids(files: Mapping[str, str]) -> dict[str, str]:
    """Give the models of these files the ids of the configuration; the old ones by the new."""
    old_ids = {}
    for wanted, file in files.items():
        with transaction.atomic():
            introduce.lock()
            model = adding.served_from(file)
            if (
                model is None
                or model.model_id in files
                or ServedModel.everywhere.filter(model_id=wanted).exists()
                or ModelAlias.objects.filter(alias=wanted).exists()
                or not introduce.is_untouched(model)
            ):
                continue
            old_ids[wanted] = model.model_id
            model.model_id = wanted
            model.save(update_fields=["model_id"])
    return old_ids


def _without_commands(parsed: ParsedConfig, tuned: set[str]) -> ParsedConfig:
    """The same, with the commands of some models replaced by what we would choose."""
    if not tuned:
        return parsed
    context = PlanContext.load()
    rows = {row.model_id: row for row in catalog.rows_with_relations()}

    def with_ours(entry: ModelEntry) -> ModelEntry:
        row = rows.get(entry.model_id)
        if entry.model_id not in tuned or row is None:
            return entry
        return replace(entry, cmd=catalog.automatic_cmd(row, context))

    models = {model: with_ours(entry) for model, entry in parsed.document.models.items()}
    return replace(parsed, document=replace(parsed.document, models=models))


def _leave_to_us(tuned: set[str], old_ids: Mapping[str, str]) -> None:
    """Let what is tuned stay automatic, and what had another id answer to that one as well."""
    ServedModel.objects.filter(model_id__in=tuned).exclude(cmd="").update(cmd="")
    for model in ServedModel.objects.filter(model_id__in=old_ids):
        answering.also_as(model, old_ids[model.model_id])


def _tell(done: importing.ImportReport, report: Report) -> None:
    for word, names in (
        ("models added", done.created),
        ("models changed", done.changed),
        ("groups", done.groups),
        ("settings", done.settings),
    ):
        if names:
            report.done.append(f"{word}: {', '.join(names)}")


def _tell_commands(
    commands: Mapping[str, list[str]], files: Mapping[str, str], tuned: set[str], report: Report
) -> None:
    if tuned:
        report.done.append(
            "settings are chosen for this machine instead of the old command: "
            + ", ".join(sorted(tuned))
        )
    for model, argv in sorted(commands.items()):
        if model in tuned or not argv:
            continue
        if model in files and not os.path.isfile(files[model]):
            report.notes.append(f"{model}: its file {files[model]} is not there.")
        elif shutil.which(argv[0]) is None:
            report.notes.append(f"{model}: its program {argv[0]} is not on this machine.")
