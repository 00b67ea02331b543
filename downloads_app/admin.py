from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from downloads_app import control, info
from downloads_app.engines import admin as engines_admin
from downloads_app.models import Download, DownloadSettings
from models_app.access import rights_of
from models_app.admin import display
from models_app.admin.base import ReadOnlyAdmin, SingleRowAdmin
from models_app.rights import Scope

__all__ = ["DownloadAdmin", "DownloadSettingsAdmin", "engines_admin"]


class DownloadAdmin(ReadOnlyAdmin[Download]):
    list_display = (
        "name",
        "state",
        "progress",
        "rate",
        "folder",
        "created_at",
        "short_problem",
        "node",
    )
    list_filter = ("status",)
    search_fields = ("model_id", "repository", "key")
    ordering = ("-pk",)
    fields = (
        "name",
        "state",
        "progress",
        "rate",
        "whole_problem",
        "note",
        "reuse_path",
        "folder",
        "repository",
        "quantization",
        "parts",
        "failures",
        "created_at",
        "started_at",
        "finished_at",
        "node",
        "owner",
    )
    readonly_fields = ("name", "state", "progress", "rate", "whole_problem", "parts", "node")
    actions = ("pause", "resume", "cancel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Download]:
        return super().get_queryset(request).prefetch_related("files")

    @admin.display(description="model")
    def name(self, download: Download) -> str:
        return download.model_id or next((file.name for file in download.files.all()), "")

    @admin.display(description="status", ordering="status")
    def state(self, download: Download) -> str:
        shown = download.get_status_display()
        return f"{shown} ({download.phase})" if download.phase else shown

    @admin.display
    def progress(self, download: Download) -> SafeString | str:
        percent = info.progress(download)
        if percent < 0:
            return display.NOTHING
        return format_html('<progress max="100" value="{}"></progress> {} %', percent, percent)

    @admin.display(description="speed")
    def rate(self, download: Download) -> str:
        return info.rate_in_words(download.speed) if download.speed else display.NOTHING

    @admin.display(description="problem")
    def short_problem(self, download: Download) -> str:
        return download.error.partition("\n")[0] or display.NOTHING

    @admin.display(description="problem")
    def whole_problem(self, download: Download) -> SafeString | str:
        return display.text_block(download.error)

    @admin.display(description="files")
    def parts(self, download: Download) -> SafeString | str:
        return display.table({file.name: _state(file) for file in download.files.all()})

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, queryset: QuerySet[Download]) -> None:
        self._told(request, sum(control.pause(one) for one in queryset), "Paused")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: QuerySet[Download]) -> None:
        count = 0
        for one in queryset:
            try:
                count += control.resume(one)
            except control.NotResumable as error:
                self.message_user(request, f"{one}: {error}", messages.WARNING)
        self._told(request, count, "Resumed")

    @admin.action(description="Cancel and throw away what is here")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Download]) -> None:
        self._told(request, sum(control.cancel(one) for one in queryset), "Cancelled")

    def _told(self, request: HttpRequest, count: int, what: str) -> None:
        self.message_user(request, f"{what}: {count} downloads.", messages.SUCCESS)


class DownloadSettingsAdmin(SingleRowAdmin[DownloadSettings]):
    fields = ("at_once", "connections", "rate_limit", "hosts")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whom this server may ask is an administrator's to say."""
        return () if rights_of(request).may(Scope.ADMIN) else ("hosts",)

    def row(self) -> DownloadSettings:
        return DownloadSettings.current()


def _state(file: Any) -> dict[str, Any]:
    size = f"{file.size:,} bytes" if file.size is not None else ""
    return {"size": size, "state": "here" if file.done else "", "SHA-256": file.sha256}


admin.site.register(Download, DownloadAdmin)
admin.site.register(DownloadSettings, DownloadSettingsAdmin)
