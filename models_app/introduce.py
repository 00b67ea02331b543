"""Makes a model of every file that can be served: once, with an id that lasts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.models import GgufFile, ModelAlias, ServedModel, ServerSettings
from models_app.naming import Candidate, ModelId, assign_ids, full_id, split_of
from models_app.nodes import is_ours, this_node
from models_app.units import short_count

# The kinds that an engine serves by themselves. The others wait in the list of files until a
# model names them, or until a person makes a model of one by hand.
SERVED_KINDS: Final = frozenset(
    {Kind.CHAT, Kind.VISION, Kind.AUDIO, Kind.BASE, Kind.EMBEDDING, Kind.RERANKER}
)

_NOT_CHOICES: Final = frozenset(
    {"id", "model_id", "name", "description", "file", "node", "created_at", "last_used_at"}
)


def is_servable(row: GgufFile) -> bool:
    """Whether the file as it is now is a whole model of its own."""
    return row.state == GgufFile.State.OK and row.kind in SERVED_KINDS and row.first_part_id is None


def introduce(rows: Iterable[GgufFile]) -> int:
    """Make models of those among `rows` that never had one; how many were made.

    The caller holds `lock`. A model without a file whose id is the file's takes
    the file instead: that is what removing a folder and adding it again leaves behind.
    """
    new = [row for row in rows if is_servable(row) and not row.introduced]
    if not new:
        return 0
    served = list(ServedModel.everywhere.prefetch_related("aliases"))  # ids are one for all nodes
    ids = {model.pk: _ids_of(model) for model in served}
    has_model = {model.file_id for model in served}
    waiting = {
        name: model
        for model in served
        if model.file_id is None and not model.cmd and is_ours(model.node, this_node())
        for name in ids[model.pk].all
    }
    nameless = []
    for row in sorted(new, key=lambda row: row.path):
        if row.pk in has_model:
            continue
        orphan = waiting.get(full_id(row.relative_path))
        if orphan and orphan.file_id is None:
            orphan.file = row
            orphan.save(update_fields=["file"])
        else:
            nameless.append(row)
    _make(nameless, {f"model {key}": value for key, value in ids.items()})
    GgufFile.objects.filter(pk__in=[row.pk for row in new]).update(introduced=True)
    return len(nameless)


def introduce_again(rows: QuerySet[GgufFile]) -> int:
    """Make models of those among `rows` that have none now, also where one was deleted."""
    with transaction.atomic():
        lock()
        chosen = GgufFile.objects.filter(pk__in=list(rows.values_list("pk", flat=True)))
        chosen.filter(served_as=None).update(introduced=False)
        return introduce(chosen)


def lock() -> None:
    """Keep other processes from giving out ids until this transaction ends."""
    # SQLite has locked the whole database by now; elsewhere one row stands for the registry.
    ServerSettings.current()
    ServerSettings.objects.select_for_update().get(pk=1)


def is_untouched(model: ServedModel) -> bool:
    """Whether the model is as `introduce` made it: nothing set, renamed, grouped or aliased."""
    if model.file is None or not all(alias.automatic for alias in model.aliases.all()):
        return False
    if (model.name, model.description) != (_name(model.file), _description(model.file)):
        return False
    return all(
        getattr(model, field.attname) == field.get_default()
        for field in ServedModel._meta.concrete_fields
        if field.name not in _NOT_CHOICES
    )


def _ids_of(model: ServedModel) -> ModelId:
    return ModelId(model.model_id, tuple(alias.alias for alias in model.aliases.all()))


def _make(rows: Sequence[GgufFile], taken: dict[str, ModelId]) -> None:
    assigned = assign_ids([Candidate(row.path, row.relative_path) for row in rows], taken)
    models = [
        ServedModel(
            model_id=assigned[row.path].id,
            name=_name(row),
            description=_description(row),
            file=row,
        )
        for row in rows
    ]
    ServedModel.objects.bulk_create(models)
    ModelAlias.objects.bulk_create(
        ModelAlias(alias=alias, model=model, automatic=True)
        for row, model in zip(rows, models, strict=True)
        for alias in assigned[row.path].also
    )


def _name(row: GgufFile) -> str:
    filename = os.path.basename(row.path)
    split = split_of(filename)
    return split.prefix if split else os.path.splitext(filename)[0]


def _description(row: GgufFile) -> str:
    facts = FileFacts.from_json(row.facts)
    parts = []
    if row.parameters:
        parts.append(f"Model size: {short_count(row.parameters)}")
    if facts.quantization:
        parts.append(f"Quantization: {facts.quantization}")
    if facts.kind is Kind.CHAT:
        parts.append("Instruction-tuned")
    return " - ".join(parts) or "Found by a scan"
