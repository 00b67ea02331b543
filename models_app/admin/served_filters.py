"""Filters of the list of models. Their choices are what served models really have."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any, Final

from django.contrib.admin import ChoicesFieldListFilter, SimpleListFilter
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from models_app import choices
from models_app.admin.live import SERVING
from models_app.models import ServedModel

Pairs = list[tuple[str, str]]

_OF_THE_FILE: Final = ("kind", "quantization", "architecture")
_FACTS: Final = "_facts_of_files"


class StateFilter(SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Pairs:
        return [
            ("ready", "Ready"),
            ("starting", "Loading"),
            ("stopping", "Unloading"),
            ("stopped", "Stopped"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ServedModel]
    ) -> QuerySet[ServedModel]:
        value = self.value()
        return queryset.filter(model_id__in=SERVING.snapshot().ids(value)) if value else queryset


class _OfTheFile(SimpleListFilter):
    """A fact of the model's file."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Pairs:
        found = {facts[str(self.parameter_name)] for facts in _facts_of_files(request)}
        return [(value, value) for value in sorted(found) if value]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ServedModel]
    ) -> QuerySet[ServedModel]:
        value = self.value()
        return queryset.filter(**{f"file__{self.parameter_name}": value}) if value else queryset


def _facts_of_files(request: HttpRequest) -> list[dict[str, str]]:
    """What there is to choose from, asked for once a page."""
    if not hasattr(request, _FACTS):
        found = ServedModel.objects.exclude(file=None).order_by().distinct()
        rows = found.values(**{name: F(f"file__{name}") for name in _OF_THE_FILE})
        setattr(request, _FACTS, list(rows))
    facts: list[dict[str, str]] = getattr(request, _FACTS)
    return facts


class KindFilter(_OfTheFile):
    title = "kind"
    parameter_name = "kind"


class ArchitectureFilter(_OfTheFile):
    title = "architecture"
    parameter_name = "architecture"


class QuantizationFilter(_OfTheFile):
    title = "quantization"
    parameter_name = "quantization"


class FileStateFilter(ChoicesFieldListFilter):
    """The state of the file, which is not the model's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "file"


class ByHandFilter(SimpleListFilter):
    title = "tuning"
    parameter_name = "tuning"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Pairs:
        return [("automatic", "Automatic"), ("by-hand", "By hand")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ServedModel]
    ) -> QuerySet[ServedModel]:
        fields = {field.name: field for field in ServedModel._meta.concrete_fields}
        automatic = reduce(
            operator.and_, (_is_default(fields[name]) for name in choices.TUNING), Q()
        )
        if self.value() == "automatic":
            return queryset.filter(automatic)
        return queryset.exclude(automatic) if self.value() == "by-hand" else queryset


def _is_default(field: Any) -> Q:
    default = field.get_default()
    return Q(**{f"{field.name}__isnull": True} if default is None else {field.name: default})
