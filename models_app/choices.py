"""The settings of a model that a person may choose, and their way back to automatic."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.db.models import QuerySet

from models_app.models import ServedModel

TUNING: Final = (
    "context",
    "gpus",
    "gpu_layers",
    "cache_type",
    "batch_size",
    "slots",
    "chat_template",
    "load_mode",
    "engine",
    "extra_arguments",
    "projector",
    "use_projector",
    "draft",
    "use_draft",
    "cmd",
)
"""Fields that decide how the engine is started and whose empty value means automatic."""


def chosen(model: ServedModel) -> list[str]:
    """Which of `TUNING` are set by hand."""
    fields = {field.name: field for field in ServedModel._meta.concrete_fields}
    return [
        name
        for name in TUNING
        if getattr(model, fields[name].attname) != fields[name].get_default()
    ]


def back_to_automatic(models: QuerySet[ServedModel], fields: Collection[str] = TUNING) -> int:
    """Empty the given fields of `TUNING` and the rung; how many models were asked."""
    unknown = set(fields) - set(TUNING)
    if unknown:
        raise ValueError(f"not a setting that can be automatic: {', '.join(sorted(unknown))}")
    # What was given up when memory ran out is tried again, with everything else.
    return models.update(rung={}, **_defaults(fields))


def _defaults(names: Collection[str]) -> dict[str, Any]:
    fields = ServedModel._meta.concrete_fields
    return {field.name: field.get_default() for field in fields if field.name in names}
