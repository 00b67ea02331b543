"""Builds of llama-server in the admin: listed, asked for, tried, used, and taken away."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from downloads_app.engines import orders
from models_app import engine_installs
from models_app.admin import display
from models_app.admin.base import RegistryAdmin
from models_app.engine_installs import NotPossible
from models_app.models import EngineInstall
from models_app.typed_forms import ModelForm


class InstallForm(ModelForm[EngineInstall]):
    """What to install. It is fetched by a worker, so the page does not wait."""

    class Meta:
        model = EngineInstall
        fields = ("source", "version", "backend", "origin", "wanted")
        labels = {"origin": "Path", "wanted": "Use it"}  # noqa: RUF012
        help_texts = {  # noqa: RUF012
            "wanted": "Once its trial run has succeeded; the one in use stays otherwise.",
            "origin": "Of the archive, folder or program on this server; empty for a release.",
        }

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        try:
            if values.get("wanted"):
                engine_installs.check_may_change()
            orders.check(self.order())
        except NotPossible as error:
            raise forms.ValidationError(str(error)) from error
        return values

    def order(self) -> orders.Order:
        values = self.cleaned_data
        return orders.Order(
            source=values.get("source", ""),
            origin=values.get("origin", "").strip(),
            version=values.get("version", "").strip(),
            backend=values.get("backend", "").strip(),
            activate=values.get("wanted", False),
        )


class EngineInstallAdmin(RegistryAdmin[EngineInstall]):
    form = InstallForm
    list_display = ("name", "state", "in_use", "source", "progress", "short_reason", "tried_at")
    list_filter = ("status", "source", "backend")
    list_select_related = ("build",)
    fields = (
        "name",
        "state",
        "in_use",
        "whole_reason",
        "note",
        "source",
        "origin",
        "binary",
        "previous",
        "verified",
        "fetched",
        "devices",
        "created_at",
        "tried_at",
        "activated_at",
    )
    readonly_fields = fields
    actions = ("use", "remove_builds")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else InstallForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: EngineInstall, form: Any, change: bool) -> None:
        obj.pk = orders.place(form.order()).pk
        obj.refresh_from_db()

    @admin.display(description="build")
    def name(self, row: EngineInstall) -> str:
        return str(row)

    @admin.display(description="status", ordering="status")
    def state(self, row: EngineInstall) -> str:
        shown = row.get_status_display()
        return f"{shown} ({row.phase})" if row.phase else shown

    @admin.display(description="in use", boolean=True, ordering="active")
    def in_use(self, row: EngineInstall) -> bool:
        return row.active

    @admin.display
    def progress(self, row: EngineInstall) -> str:
        if row.status != EngineInstall.Status.RUNNING or not row.total_bytes:
            return display.NOTHING
        return f"{100 * row.done_bytes // row.total_bytes} %"

    @admin.display(description="problem")
    def short_reason(self, row: EngineInstall) -> str:
        return row.reason.partition("\n")[0] or display.NOTHING

    @admin.display(description="problem")
    def whole_reason(self, row: EngineInstall) -> SafeString | str:
        return display.text_block(row.reason)

    @admin.display(description="files")
    def fetched(self, row: EngineInstall) -> SafeString | str:
        return display.shown(row.files) or display.NOTHING

    @admin.display
    def devices(self, row: EngineInstall) -> SafeString | str:
        return (row.build and display.shown(row.build.devices)) or display.NOTHING

    @admin.action(description="Use (the newest of the selected)", permissions=["act"])
    def use(self, request: HttpRequest, queryset: QuerySet[EngineInstall]) -> None:
        row = queryset.order_by("-pk").first()
        if row is None:
            return
        try:
            engine_installs.ask_to_activate(row)
        except NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            text = f"{row} is tried now, and used once it has succeeded."
            self.message_user(request, text, messages.SUCCESS)

    @admin.action(description="Remove with their files", permissions=["act"])
    def remove_builds(self, request: HttpRequest, queryset: QuerySet[EngineInstall]) -> None:
        gone = 0
        for row in queryset:
            try:
                orders.remove(row)
                gone += 1
            except (NotPossible, OSError) as error:
                self.message_user(request, str(error), messages.WARNING)
        if gone:
            self.message_user(request, f"Removed: {gone} builds.", messages.SUCCESS)


admin.site.register(EngineInstall, EngineInstallAdmin)
