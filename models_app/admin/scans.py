from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from models_app import scan_runs
from models_app.admin import display
from models_app.admin.base import ReadOnlyAdmin
from models_app.admin.typed import ModelAdmin
from models_app.models import ModelFolder, ScanRun


def ask_for_scan(
    model_admin: ModelAdmin[Any], request: HttpRequest, folders: Iterable[ModelFolder]
) -> None:
    """Ask the workers for a scan of `folders` and tell the person where to watch it."""
    run = scan_runs.request(list(folders))
    text = format_html("Asked for {}.", display.link(run, f"scan {run.pk}"))
    model_admin.message_user(request, text, messages.SUCCESS)


class ScanAdmin(ReadOnlyAdmin[ScanRun]):
    list_display = ("__str__", "progress", "where", "created_at", "took", "short_problem")
    list_filter = ("status",)
    fields = (
        "status",
        "progress",
        "where",
        "step",
        "current",
        "whole_problem",
        "outcome",
        "created_at",
        "started_at",
        "finished_at",
        "took",
        "attempts",
        "owner",
    )
    readonly_fields = ("progress", "where", "whole_problem", "outcome", "took")
    actions = ("again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScanRun]:
        return super().get_queryset(request).prefetch_related("folders")

    @admin.display
    def progress(self, run: ScanRun) -> SafeString | str:
        """A bar that moves while the page is looked at."""
        active = run.status in (ScanRun.Status.QUEUED, ScanRun.Status.RUNNING)
        if not run.total and not active:
            return display.NOTHING
        text = f"{run.processed:,} of {run.total:,} files" if run.total else "The scan begins."
        return format_html(
            '<span data-scan="{}" data-status="{}" data-active="{}">'
            '<progress max="{}" value="{}"></progress> <span data-scan-text>{}</span></span>',
            run.pk,
            run.status,
            "yes" if active else "no",
            run.total or 1,
            run.processed,
            text,
        )

    @admin.display(description="folders")
    def where(self, run: ScanRun) -> SafeString | str:
        if run.look_at:
            return "only looked at: " + ", ".join(path for path, _ in run.look_at)
        folders = list(run.folders.all())
        return display.links(folders) if folders else "all that are enabled"

    @admin.display(description="took")
    def took(self, run: ScanRun) -> str:
        if run.started_at is None:
            return display.NOTHING
        return display.duration((run.finished_at or timezone.now()) - run.started_at)

    @admin.display(description="problem")
    def short_problem(self, run: ScanRun) -> str:
        return run.problem.partition("\n")[0] or display.NOTHING

    @admin.display(description="problem")
    def whole_problem(self, run: ScanRun) -> SafeString | str:
        return display.text_block(run.problem)

    @admin.display(description="what it found")
    def outcome(self, run: ScanRun) -> SafeString | str:
        return display.table({folder["folder"]: _counts(folder) for folder in run.summary})

    @admin.action(description="Scan the same folders again", permissions=["act"])
    def again(self, request: HttpRequest, queryset: QuerySet[ScanRun]) -> None:
        for run in queryset:
            if run.look_at:
                scan_runs.request_look(run.look_at)
        wanted = [list(run.folders.all()) for run in queryset if not run.look_at]
        if not wanted:
            return
        everywhere = not all(wanted)
        ask_for_scan(self, request, [] if everywhere else {f for some in wanted for f in some})


def _counts(folder: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in folder.items() if name not in ("folder", "status") and value
    }


admin.site.register(ScanRun, ScanAdmin)
