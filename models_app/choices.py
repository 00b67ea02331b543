"""The settings of a model that a person may choose, and their way back to automatic."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from models_app import acting
from models_app.models import ServedModel
from models_app.rights import Scope, lacking

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

RUNS_PROGRAMS: Final = (
    "chat_template",
    "cmd",
    "cmd_stop",
    "env",
    "extra_arguments",
    "macros",
    "proxy",
    "check_endpoint",
)
"""Fields that can have any program run, or any address asked. Only administrators change them."""


def chosen(model: ServedModel) -> list[str]:
    """Which of `TUNING` are set by hand."""
    fields = {field.name: field for field in ServedModel._meta.concrete_fields}
    return [
        name
        for name in TUNING
        if getattr(model, fields[name].attname) != fields[name].get_default()
    ]


def to_empty() -> tuple[str, ...]:
    """Which of `TUNING` whoever acts may take back to automatic."""
    if acting.rights().may(Scope.ADMIN):
        return TUNING
    return tuple(name for name in TUNING if name not in RUNS_PROGRAMS)


def back_to_automatic(models: QuerySet[ServedModel], fields: Collection[str] | None = None) -> int:
    """Empty the given fields of `TUNING` and the rung; how many models were asked.

    Without `fields`, all that whoever acts may empty. Raises PermissionDenied for others.
    """
    allowed = to_empty()
    fields = allowed if fields is None else fields
    unknown = set(fields) - set(TUNING)
    if unknown:
        raise ValueError(f"not a setting that can be automatic: {', '.join(sorted(unknown))}")
    if not set(fields) <= set(allowed):
        raise PermissionDenied(lacking(Scope.ADMIN))
    # What was given up when memory ran out is tried again, with everything else.
    return models.update(rung={}, **_defaults(fields))


def _defaults(names: Collection[str]) -> dict[str, Any]:
    fields = ServedModel._meta.concrete_fields
    return {field.name: field.get_default() for field in fields if field.name in names}
