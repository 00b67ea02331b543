"""Everything that people choose, as one JSON value: taken for a revision, and brought back.

config.yaml alone cannot bring a configuration back: it names the command of a model that has none
of its own, and leaves out whatever is disabled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import CharField, Model, TextField

from models_app.changes import NOT_CONFIGURATION
from models_app.models import (
    EngineBuild,
    GgufFile,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    ServedModel,
    VirtualModel,
    elsewhere,
)
from models_app.models import ServerSettings as Settings
from models_app.secrecy import is_secret_name

_BATCH: Final = 100
_FILES: Final = ("file", "projector", "draft")
_NO_CHOICE: Final = frozenset({"id", "node", "rung"})
"""Columns that the server keeps for itself. A rung is learned, and going back unlearns nothing."""


def take() -> dict[str, Any]:
    """The choices as they are. What is as it was made is left out. No secrets of the settings."""
    settings = Settings.current()
    groups = ModelGroup.objects.all()
    return {
        "settings": {
            name: getattr(settings, name)
            for name in sorted(_columns(Settings))
            if name not in secret_settings()
        },
        "folders": {row.path: _chosen(row, {"path"}) for row in ModelFolder.objects.all()},
        "groups": {row.name: _chosen(row, {"name"}) for row in groups},
        "models": {row.model_id: _model(row) for row in _rows()},
        "virtual": {row.name: _chosen(row, {"name"}) for row in VirtualModel.objects.all()},
    }


def secret_settings() -> set[str]:
    """The settings that hold a secret: texts whose names say so."""
    texts = (CharField, TextField)
    fields = Settings._meta.concrete_fields
    return {
        field.name for field in fields if isinstance(field, texts) and is_secret_name(field.name)
    }


def restore(choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Make the choices those of a snapshot; what could not be brought back, in words.

    A model that the snapshot does not know is disabled if it has a file, else deleted. Folders
    are enabled or disabled, but neither added nor let go.
    """
    with transaction.atomic():
        # The lock of scans and imports, too: they give out ids and aliases as well.
        settings = Settings.objects.select_for_update().get(pk=Settings.current().pk)
        _put(settings, choices["settings"], _defaults(settings).keys() & choices["settings"].keys())
        lost = _restore_folders(choices["folders"])
        groups = _restore_groups(choices["groups"])
        if "virtual" in choices:
            _restore_virtual(choices["virtual"])
        return (*lost, *_restore_models(choices["models"], groups))


def _rows() -> Iterable[ServedModel]:
    return (
        ServedModel.objects.select_related(*_FILES, "group", "engine")
        .defer("file__facts", "projector__facts", "draft__facts")
        .prefetch_related("aliases")
        .order_by("model_id")
    )


def _columns(model: type[Model] | Model) -> set[str]:
    fields = model._meta.concrete_fields
    names = {field.name for field in fields if not field.is_relation}
    return names - _NO_CHOICE - NOT_CONFIGURATION[model._meta.object_name or ""]


def _defaults(row: Model) -> dict[str, Any]:
    names = _columns(row)
    fields = row._meta.concrete_fields
    return {field.name: field.get_default() for field in fields if field.name in names}


def _chosen(row: Model, without: set[str]) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name, default in sorted(_defaults(row).items())
        if name not in without and getattr(row, name) != default
    }


def _model(row: ServedModel) -> dict[str, Any]:
    chosen = _chosen(row, {"model_id"})
    for name in _FILES:
        if file := getattr(row, name):
            chosen[name] = file.path
    if row.group:
        chosen["group"] = row.group.name
    if row.engine:
        chosen["engine"] = row.engine.path
    for key, automatic in (("aliases", False), ("automatic_aliases", True)):
        aliases = sorted(item.alias for item in row.aliases.all() if item.automatic == automatic)
        if aliases:
            chosen[key] = aliases
    return chosen


def _put(row: Model, values: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Write the columns that differ; whether there were any."""
    changed = [name for name in sorted(names) if getattr(row, name) != values[name]]
    for name in changed:
        setattr(row, name, values[name])
    if changed:
        row.save(update_fields=changed)
    return bool(changed)


def _restore_folders(folders: Mapping[str, Any]) -> list[str]:
    known = {row.path: row for row in ModelFolder.objects.all()}
    for path in folders.keys() & known.keys():
        values = {**_defaults(known[path]), **folders[path]}
        _put(known[path], values, ("enabled", "recursive"))
    return [
        f"The folder {path} is not tracked any more. Add it to have its models back."
        for path in sorted(folders.keys() - known.keys())
    ]


def _restore_groups(groups: Mapping[str, Any]) -> dict[str, ModelGroup]:
    ModelGroup.objects.exclude(name__in=groups).delete()
    known = {row.name: row for row in ModelGroup.objects.all()}
    for name, chosen in groups.items():
        group = known.setdefault(name, ModelGroup(name=name))
        for column, value in {**_defaults(group), "name": name, **chosen}.items():
            setattr(group, column, value)
        group.save()
    return known


def _restore_virtual(virtual: Mapping[str, Any]) -> None:
    VirtualModel.objects.exclude(name__in=virtual).delete()
    known = {row.name: row for row in VirtualModel.objects.all()}
    for name, chosen in virtual.items():
        row = known.get(name) or VirtualModel(name=name)
        row.members = chosen.get("members", [])
        row.save()


def _restore_models(models: Mapping[str, Any], groups: Mapping[str, ModelGroup]) -> list[str]:
    known = {row.model_id: row for row in _rows()}
    _retire([row for name, row in known.items() if name not in models])
    find = _files_of(models)
    columns: set[str] = set()
    changed, new, lost = [], [], []
    taken = elsewhere(models)
    lost += [
        f"The id {name} is a model's of the node {node} by now." for name, node in taken.items()
    ]
    models = {name: chosen for name, chosen in models.items() if name not in taken}
    for name, chosen in models.items():
        row = known.get(name) or ServedModel(model_id=name)
        values = _values(row, chosen, groups, find)
        if chosen.get("file") and values["file"] is None:
            lost.append(f"The file {chosen['file']} of {name} is not known any more.")
        differing = [key for key, value in values.items() if getattr(row, key) != value]
        if name not in known and values["file"] and not os.path.lexists(chosen["file"]):
            lost.append(f"The file {chosen['file']} of {name} is not there now. Bring it back.")
        for key in differing:
            setattr(row, key, values[key])
        if name not in known:
            new.append(row)
        elif differing:
            changed.append(row)
            columns.update(differing)
    if changed:
        ServedModel.objects.bulk_update(changed, sorted(columns), batch_size=_BATCH)
    ServedModel.objects.bulk_create(new)
    _restore_aliases(models)
    return lost


def _values(
    row: ServedModel,
    chosen: Mapping[str, Any],
    groups: Mapping[str, ModelGroup],
    find: Callable[[str], GgufFile | None],
) -> dict[str, Any]:
    defaults = _defaults(row)
    values = {name: chosen.get(name, default) for name, default in defaults.items()}
    values["model_id"] = row.model_id
    for name in _FILES:
        values[name] = find(chosen[name]) if name in chosen else None
    values["group"] = groups.get(chosen.get("group", ""))
    pinned = EngineBuild.objects.filter(path=chosen["engine"]) if "engine" in chosen else None
    values["engine"] = pinned.first() if pinned is not None else None
    return values


def _files_of(models: Mapping[str, Any]) -> Callable[[str], GgufFile | None]:
    paths = {chosen[name] for chosen in models.values() for name in _FILES if name in chosen}
    files = {row.path: row for row in GgufFile.objects.defer("facts") if row.path in paths}
    return files.get


def _retire(rows: list[ServedModel]) -> None:
    gone = [row.pk for row in rows if row.file is None]
    hidden = [row.pk for row in rows if row.file and row.enabled]
    ServedModel.objects.filter(pk__in=gone).delete()
    # A scan makes no second model of a file: deleted, it would be gone for good.
    ServedModel.objects.filter(pk__in=hidden).update(enabled=False)


def _restore_aliases(models: Mapping[str, Any]) -> None:
    wanted = {
        alias: (name, automatic)
        for name, chosen in models.items()
        for key, automatic in (("automatic_aliases", True), ("aliases", False))
        for alias in chosen.get(key, ())
    }
    ids = dict(ServedModel.objects.filter(model_id__in=models).values_list("model_id", "pk"))
    present = {row.alias: row for row in ModelAlias.objects.select_related("model")}
    unwanted = [
        row.pk
        for alias, row in present.items()
        if (row.model.model_id, row.automatic) != wanted.get(alias)
        and (alias in wanted or row.model.model_id in models)
    ]
    ModelAlias.objects.filter(pk__in=unwanted).delete()
    kept = {alias for alias, row in present.items() if row.pk not in set(unwanted)}
    ModelAlias.objects.bulk_create(
        ModelAlias(alias=alias, model_id=ids[name], automatic=automatic)
        for alias, (name, automatic) in wanted.items()
        if alias not in kept
    )
