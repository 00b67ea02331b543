"""The models of a configuration file into their rows, with their aliases and groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from typing import Any, Final

from models_app import catalog
from models_app.config_yaml import ConfigError, words
from models_app.document import (
    DEFAULT_CHECK_ENDPOINT,
    DEFAULT_PROXY,
    ConfigDocument,
    ModelEntry,
)
from models_app.models import GgufFile, ModelAlias, ModelGroup, ServedModel, elsewhere
from models_app.plans import PlanContext

_BATCH: Final = 100

_COLUMNS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": str,
    "description": str,
    "cmd_stop": str,
    "proxy": lambda proxy: "" if proxy == DEFAULT_PROXY else proxy,
    "check_endpoint": lambda path: "" if path == DEFAULT_CHECK_ENDPOINT else path,
    "env": list,
    "macros": dict,
    "ttl": lambda seconds: seconds,
    "unload_timeout": lambda seconds: seconds,
    "unlisted": bool,
    "use_model_name": str,
    "concurrency_limit": lambda limit: limit or None,
    "queue_length": lambda length: length,
    "priority": int,
    "pinned": bool,
    "strip_params": ", ".join,
    "set_params": dict,
    "set_params_by_id": dict,
    "timeouts": dict,
    "metadata": dict,
    "kept_keys": dict,
}
"""Fields of an entry that are columns of its row, with the way from one to the other."""


class ModelImport:
    """The models of one import, within its transaction. Names are ids of models."""

    def __init__(
        self,
        document: ConfigDocument,
        context: PlanContext,
        *,
        takes_all: bool,
        retired: Collection[str] | None,
    ) -> None:
        """`takes_all` lets it take aliases of any model; `retired` are to go, None all others."""
        self.created: set[str] = set()
        self.changed: set[str] = set()
        self.removed: set[str] = set()
        self._document = document
        self._context = context
        self._takes_all = takes_all
        self._retired = retired
        self._rows = {row.model_id: row for row in catalog.rows_with_relations()}
        self._make_rows()
        self._changes = {
            model_id: self._differences(self._rows[model_id], entry)
            for model_id, entry in document.models.items()
        }

    def place(self, groups: Mapping[str, ModelGroup]) -> None:
        """Put members into their groups, and models of the file that are in none out of theirs."""
        wanted: dict[str, ModelGroup | None] = dict.fromkeys(self._document.models)
        for name, entry in self._document.groups.items():
            wanted.update(dict.fromkeys(entry.members, groups[name]))
        for model_id in wanted.keys() & self._rows.keys():
            group = wanted[model_id]
            if self._rows[model_id].group_id != (group.pk if group else None):
                self._changes.setdefault(model_id, {})["group"] = group

    def save(self) -> None:
        """Write rows and aliases. Raises ConfigError when an alias is somebody else's."""
        changed = [model_id for model_id, values in self._changes.items() if values]
        for model_id in changed:
            for name, value in self._changes[model_id].items():
                setattr(self._rows[model_id], name, value)
        self.changed.update(set(changed) - self.created)
        if self.changed:
            names = {name for model_id in self.changed for name in self._changes[model_id]}
            rows = [self._rows[model_id] for model_id in self.changed]
            ServedModel.objects.bulk_update(rows, sorted(names), batch_size=_BATCH)
        ServedModel.objects.bulk_create(self._rows[model_id] for model_id in self.created)
        self._retire()
        self._save_aliases()

    def _differences(self, row: ServedModel, entry: ModelEntry) -> dict[str, Any]:
        """The columns that have to change, with their new values."""
        known = row.model_id not in self.created
        current = catalog.entry_of(row, self._context) if known else ModelEntry(row.model_id)
        values = {
            name: encode(getattr(entry, name))
            for name, encode in _COLUMNS.items()
            if getattr(entry, name) != getattr(current, name)
        }
        if entry.cmd != current.cmd:
            cmd = "" if self._is_automatic(row, entry) else entry.cmd
            if cmd != row.cmd:
                values["cmd"] = cmd
        if not row.enabled:
            values["enabled"] = True
        return values

    def _is_automatic(self, row: ServedModel, entry: ModelEntry) -> bool:
        made = ModelEntry(entry.model_id, cmd=catalog.automatic_cmd(row, self._context))
        try:
            return words(entry, self._document) == words(made, ConfigDocument())
        except ConfigError:
            return False

    def _make_rows(self) -> None:
        """Rows for models the database does not know, with the file that their command names."""
        new = [entry for name, entry in self._document.models.items() if name not in self._rows]
        for name, node in elsewhere(entry.model_id for entry in new).items():
            raise ConfigError(f'The id "{name}" is a model\'s of the node {node}. Choose another.')
        paths = {entry.model_id: self._paths(entry) for entry in new}
        files = {
            file.path: file
            for file in GgufFile.objects.select_related("folder", "projector").filter(
                path__in={path for found in paths.values() for path in found}
            )
        }
        for model_id, found in paths.items():
            file = next((files[path] for path in found if path in files), None)
            self._rows[model_id] = ServedModel(model_id=model_id, file=file)
            self.created.add(model_id)

    def _paths(self, entry: ModelEntry) -> list[str]:
        try:
            argv = words(entry, self._document)
        except ConfigError:
            return []
        return [after for option, after in pairwise(argv) if option in ("--model", "-m")]

    def _retire(self) -> None:
        others = [
            row
            for name, row in self._rows.items()
            if name not in self._document.models
            and (self._retired is None or name in self._retired)
        ]
        gone = {row.pk: row.model_id for row in others if row.file is None}
        hidden = {row.pk: row.model_id for row in others if row.file and row.enabled}
        ServedModel.objects.filter(pk__in=gone).delete()
        # A scan makes no second model of a file: deleted, it would be gone for good.
        ServedModel.objects.filter(pk__in=hidden).update(enabled=False)
        self.removed.update(gone.values(), hidden.values())

    def _save_aliases(self) -> None:
        owners = {
            alias: self._rows[model_id]
            for model_id, entry in self._document.models.items()
            for alias in entry.aliases
        }
        known = {row.alias: row for row in ModelAlias.objects.select_related("model")}
        self._drop_aliases([row for alias, row in known.items() if alias not in owners])
        moved = []
        for alias, row in known.items():
            if alias in owners and row.model_id != owners[alias].pk:
                self._check_free(row, owners[alias])
                row.model, row.automatic = owners[alias], False
                moved.append(row)
        ModelAlias.objects.bulk_update(moved, ["model", "automatic"], batch_size=_BATCH)
        new = [
            ModelAlias(alias=alias, model=owner)
            for alias, owner in owners.items()
            if alias not in known
        ]
        ModelAlias.objects.bulk_create(new)
        self.changed.update({row.model.model_id for row in (*moved, *new)} - self.created)

    def _drop_aliases(self, unwanted: list[ModelAlias]) -> None:
        """Remove what the file leaves out of its models. Scans own the automatic ones."""
        dropped = [
            row
            for row in unwanted
            if not row.automatic and row.model.model_id in self._document.models
        ]
        ModelAlias.objects.filter(pk__in=[row.pk for row in dropped]).delete()
        self.changed.update(row.model.model_id for row in dropped)

    def _check_free(self, row: ModelAlias, wanted_by: ServedModel) -> None:
        holder = row.model.model_id
        if self._takes_all or row.automatic or holder in self._document.models:
            return
        raise ConfigError(
            f'The alias "{row.alias}" of {wanted_by.model_id} belongs to the model {holder}, which '
            "is not in this file. Take it from one of them, or import with replace."
        )
