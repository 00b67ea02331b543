"""Adds one model by the path of its file, or only works out what it would be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app import file_rows, folders, introduce, plans, roots
from models_app.gguf import GgufError, read_header
from models_app.models import GgufFile, ModelFolder, ServedModel, ServerSettings
from models_app.naming import split_of
from models_app.scan import settle
from models_app.walk import FoundFile, shown, walk
from models_app.what_if import Wishes


class CannotAdd(ValueError):
    """Why a file cannot become a model; `missing` when there is no such file."""

    def __init__(self, text: str, details: str = "", *, missing: bool = True) -> None:
        super().__init__(text)
        self.details = details
        self.missing = missing


class IsServed(CannotAdd):
    """The file is a model already."""

    def __init__(self, model: ServedModel, path: str) -> None:
        super().__init__(f"Model already exists in config with ID: {model.model_id}", missing=False)
        self.model = model
        self.path = path


def absolute(path: str) -> str:
    """`path` as an absolute one. A relative one is looked for where downloads are kept."""
    path = os.path.expanduser(path)
    if os.path.isabs(path):
        return os.path.normpath(path)
    home = Path(settings.CLARACORE_HOME)
    downloads = Path(ServerSettings.current().download_dir or home / "models")
    within = path.removeprefix("./").removeprefix("downloads/")
    for place in (downloads / within, home / path):
        if os.path.exists(place):  # False, too, for names no system can have
            return os.path.normpath(place)
    return os.path.normpath(downloads / within)


def add(path: str, wishes: Mapping[str, Any] | None = None) -> ServedModel:
    """Make a model of the file at `path`, an absolute one; its folder is tracked if need be.

    Of a folder that was not tracked the other files wait in the list of files. `wishes` are
    preferences (as in `what_if`) for this model alone. Raises CannotAdd.
    """
    with transaction.atomic():
        introduce.lock()
        _check(path)
        file = _row_of(path) or _read(path)
        if file.state != GgufFile.State.OK:
            raise CannotAdd(_not_a_model(path), file.problem)
        if file.first_part is not None:
            file = file.first_part
        served = ServedModel.objects.filter(file=file).first()
        if served is None:
            served = _introduced(file)
        _apply(served, wishes or {})
        return served


def served_from(path: str) -> ServedModel | None:
    """The model that is served from the file at `path`, also under another of its names."""
    row = _row_of(path)
    if row is None:
        return None
    return ServedModel.objects.filter(file__in=(row.pk, row.first_part_id)).first()


def _check(path: str) -> None:
    try:
        roots.check(path)
    except roots.OutsideRoots as error:
        raise CannotAdd(str(error)) from error
    if not os.path.lexists(path):
        raise CannotAdd(f"Model file not found: {shown(path)}")
    try:
        read_header(Path(path))
    except GgufError as error:
        raise CannotAdd(_not_a_model(path), str(error)) from error
    except (OSError, ValueError) as error:
        raise CannotAdd(f"Model file not found: {shown(path)}", str(error)) from error
    if not path.lower().endswith(".gguf"):
        raise CannotAdd(_not_a_model(path), "Its name must end in .gguf.")


def _not_a_model(path: str) -> str:
    folder, name = os.path.split(path)
    return (
        f"Model not found or not a valid GGUF file. Searched in {shown(folder)} for {shown(name)}"
    )


def _row_of(path: str) -> GgufFile | None:
    rows = GgufFile.objects.select_related("first_part", "folder")
    known = rows.filter(path=path).first()
    if known is None:
        known = rows.filter(path=os.path.realpath(path)).first()
    return known if known and known.state == GgufFile.State.OK else None


def _read(path: str) -> GgufFile:
    """Store the rows of the files beside `path`, and give its own as it is then."""
    folder, is_new = _folder_of(os.path.dirname(path))
    base = folder.path
    found = [
        file._replace(relative_path=os.path.relpath(file.path, base))
        for file in walk(os.path.dirname(path), recursive=False, roots=roots.roots([base])).files
    ]
    wanted = next((file for file in found if os.path.samefile(file.path, path)), None)
    if wanted is None:
        raise CannotAdd(_not_a_model(path), "Hidden files and folders are left out.")
    now = timezone.now()
    rows = [file_rows.read(file, folder, now) for file in found]
    if is_new:
        for row in rows:
            # A scan makes models only of what was not introduced yet.
            row.introduced = not _belongs(row.path, wanted)
    file_rows.store(rows, {row.path: row for row in GgufFile.objects.all()})
    settle()
    return GgufFile.objects.select_related("first_part", "folder").get(path=wanted.path)


def _belongs(path: str, wanted: FoundFile) -> bool:
    """Whether the file at `path` is the wanted one or another part of it."""
    one, other = split_of(os.path.basename(path)), split_of(os.path.basename(wanted.path))
    if one and other:
        return (one.prefix, one.total) == (other.prefix, other.total)
    return path == wanted.path


def _folder_of(path: str) -> tuple[ModelFolder, bool]:
    """The tracked folder for the files in `path`, and whether it is tracked from now on."""
    known = folders.tracked_as(path)
    if known is not None:
        if not known.enabled:
            raise CannotAdd(
                f"{shown(path)} is tracked but disabled. Enable the folder first.", missing=False
            )
        return known, False
    try:
        return folders.add(path, recursive=False), True
    except folders.AlreadyCovered as error:
        return error.covering, False
    except folders.FolderError as error:
        raise CannotAdd(str(error)) from error


def _introduced(file: GgufFile) -> ServedModel:
    if not introduce.is_servable(file):
        raise CannotAdd(
            f"{shown(file.path)} is no model that can be served by itself.",
            f"It is: {file.kind or 'unknown'}.",
            missing=False,
        )
    introduce.introduce_again(GgufFile.objects.filter(pk=file.pk))
    return ServedModel.objects.get(file=file)


def _apply(model: ServedModel, wishes: Mapping[str, Any]) -> None:
    """Choose for `model` what the server would choose if its preferences were `wishes`."""
    if not wishes:
        return
    context = plans.PlanContext.load()
    usual = plans.plan_for(model, context)
    wished = plans.plan_for(model, context, Wishes(wishes, {}))
    values: dict[str, Any] = {}
    if wished.context_per_request != usual.context_per_request:
        values["context"] = wished.context_per_request
    if wished.options.gpu_layers != usual.options.gpu_layers:
        values["gpu_layers"] = wished.options.gpu_layers
    if wished.options.cache_type_k != usual.options.cache_type_k:
        values["cache_type"] = wished.options.cache_type_k or "f16"
    if wished.options.jinja != usual.options.jinja:
        values["extra_arguments"] = "--jinja" if wished.options.jinja else "--no-jinja"
    for name, value in values.items():
        setattr(model, name, value)
    model.save(update_fields=list(values))
