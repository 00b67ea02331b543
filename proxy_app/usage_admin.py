"""Requests and their sums in the admin: to look at, never to change."""

from __future__ import annotations

import csv
from typing import Any, Final, TypeVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse

from models_app.access import rights_of
from models_app.admin.base import ReadOnlyAdmin
from models_app.models import ApiKey
from proxy_app.api.sheets import cell
from proxy_app.models import UsageDay, UsageHour, UsageRow
from proxy_app.models.usage import UsageSum
from proxy_app.records import CLIENT_LEFT

M = TypeVar("M", bound=Model)

_MOST_OFFERED: Final = 200
"""Names in a filter; more are found by searching."""

_SUMS: Final = (
    "requests",
    "errors",
    "stopped",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "engine_seconds",
    "gpu_seconds",
)


class Ended(admin.SimpleListFilter):
    """How a request ended."""

    title = "how it ended"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("well", "Well"), ("left", "The client left"), ("failed", "With an error")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        left = Q(status=CLIENT_LEFT)
        bad = Q(status__gte=400) | ~Q(error="")
        match self.value():
            case "well":
                return queryset.exclude(bad)
            case "left":
                return queryset.filter(left)
            case "failed":
                return queryset.filter(bad).exclude(left)
        return queryset


class Named(admin.SimpleListFilter):
    """Rows of one key or person, by name."""

    column = ""

    def names(self) -> dict[int, str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        named = self.names()
        used = model_admin.get_queryset(request).order_by().values_list(self.column, flat=True)
        return [
            (str(number), named.get(number, f"gone ({number})") if number else "nobody")
            for number in sorted(set(used.distinct()[:_MOST_OFFERED]))
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.column: value}) if value and value.isdigit() else queryset


class OfKey(Named):
    title, parameter_name, column = "API key", "key", "key_id"

    def names(self) -> dict[int, str]:
        return dict(ApiKey.objects.values_list("pk", "name"))


class OfPerson(Named):
    title, parameter_name, column = "person", "person", "person_id"

    def names(self) -> dict[int, str]:
        return dict(User.objects.values_list("pk", "username"))


class OwnUsageAdmin(ReadOnlyAdmin[M]):
    """Names instead of numbers, and for those who manage nothing only what is their own."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        rights = rights_of(request)
        if not rights.manages_all:
            rows = rows.filter(person_id=rights.person_id)
        keys = ApiKey.objects.filter(pk=OuterRef("key_id")).order_by().values("name")
        people = User.objects.filter(pk=OuterRef("person_id")).order_by().values("username")
        return rows.annotate(key_name=Subquery(keys[:1]), person_name=Subquery(people[:1]))

    @admin.display(description="API key", ordering="key_id")
    def key(self, row: Any) -> str:
        return row.key_name or (f"gone ({row.key_id})" if row.key_id else "")

    @admin.display(description="person", ordering="person_id")
    def person(self, row: Any) -> str:
        return row.person_name or (f"gone ({row.person_id})" if row.person_id else "")


class UsageRowAdmin(OwnUsageAdmin[UsageRow]):
    list_display = (
        "at",
        "model",
        "path",
        "key",
        "person",
        "status",
        "error",
        "tokens_in",
        "tokens_out",
        "first_token",
        "total",
        "speed",
    )
    list_filter = (Ended, OfKey, OfPerson, "at", "streamed", "status")
    list_per_page = 50
    search_fields = ("model", "path", "error", "request_id")
    search_help_text = "Part of the model's id, of the path, of the error or of the request's id"
    show_full_result_count = False

    @admin.display(description="first token", ordering="first_ms")
    def first_token(self, row: UsageRow) -> str:
        return _ms(row.first_ms)

    @admin.display(description="took", ordering="total_ms")
    def total(self, row: UsageRow) -> str:
        return _ms(row.total_ms)

    @admin.display(description="tokens/s", ordering="tokens_per_second")
    def speed(self, row: UsageRow) -> str:
        return "" if row.tokens_per_second is None else f"{row.tokens_per_second:.1f}"


class UsageSumAdmin(OwnUsageAdmin[UsageSum]):
    list_display = (
        "start",
        "model",
        "key",
        "person",
        "requests",
        "errors",
        "stopped",
        "tokens_in",
        "tokens_cached",
        "tokens_out",
        "engine_time",
        "gpu_time",
    )
    list_filter = (OfKey, OfPerson, "start")
    actions = ("as_sheet",)
    list_per_page = 50
    search_fields = ("model",)
    search_help_text = "Part of the model's id"

    def has_act_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.action(description="Save as CSV", permissions=["view"])
    def as_sheet(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="usage.csv"'
        writer = csv.writer(response)
        writer.writerow(("start", "model", "key", "person", *_SUMS))
        for row in queryset.iterator():
            names = (row.model, self.key(row), self.person(row))
            sums = (getattr(row, name) for name in _SUMS)
            writer.writerow((row.start.isoformat(), *map(cell, names), *sums))
        return response

    @admin.display(description="engine", ordering="engine_seconds")
    def engine_time(self, row: UsageSum) -> str:
        return f"{row.engine_seconds:.1f} s"

    @admin.display(description="GPUs", ordering="gpu_seconds")
    def gpu_time(self, row: UsageSum) -> str:
        return f"{row.gpu_seconds:.1f} s"


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.0f} ms"


admin.site.register(UsageRow, UsageRowAdmin)
admin.site.register((UsageHour, UsageDay), UsageSumAdmin)
