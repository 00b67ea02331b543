"""Requests and their sums in the admin: to look at, never to change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from models_app.admin.base import ReadOnlyAdmin
from proxy_app.models import UsageDay, UsageHour, UsageRow
from proxy_app.models.usage import UsageSum


class Ended(admin.SimpleListFilter):
    """How a request ended."""

    title = "how it ended"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("well", "Well"), ("left", "The client left"), ("failed", "With an error")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        failed = Q(status__gte=400) | ~Q(error="")
        match self.value():
            case "well":
                return queryset.exclude(failed)
            case "left":
                return queryset.filter(status=499)
            case "failed":
                return queryset.filter(failed)
        return queryset


class UsageRowAdmin(ReadOnlyAdmin[UsageRow]):
    list_display = (
        "at",
        "model",
        "path",
        "key_id",
        "status",
        "error",
        "tokens_in",
        "tokens_out",
        "first_token",
        "total",
        "speed",
    )
    list_filter = (Ended, "at", "streamed", "status")
    date_hierarchy = "at"
    search_fields = ("model", "path", "error")
    search_help_text = "Part of the model's id, of the path or of the error"
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


class UsageSumAdmin(ReadOnlyAdmin[UsageSum]):
    list_display = (
        "start",
        "model",
        "key_id",
        "requests",
        "errors",
        "tokens_in",
        "tokens_cached",
        "tokens_out",
        "engine_time",
        "gpu_time",
    )
    list_filter = ("start",)
    date_hierarchy = "start"
    search_fields = ("model",)
    search_help_text = "Part of the model's id"

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
