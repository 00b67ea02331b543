from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app import folders
from models_app.admin import display
from models_app.admin.base import RegistryAdmin
from models_app.admin.scans import ask_for_scan
from models_app.introduce import SERVED_KINDS
from models_app.models import GgufFile, ModelFolder
from models_app.typed_forms import ModelForm

State = GgufFile.State

_FACTS: Final = (
    "node",
    "models",
    "files",
    "troubled",
    "added_at",
    "last_scanned_at",
    "whole_problem",
)


class FolderForm(ModelForm[ModelFolder]):
    class Meta:
        model = ModelFolder
        fields = ("path", "recursive", "enabled")
        widgets = {"path": forms.TextInput(attrs={"size": 80})}  # noqa: RUF012

    def clean_path(self) -> str:
        try:
            path = folders.checked(self.cleaned_data["path"])
        except folders.FolderError as error:
            raise forms.ValidationError(str(error)) from error
        if known := folders.tracked_as(path):
            raise forms.ValidationError(f"This folder is tracked already, as {known.path}.")
        return path

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        path = values.get("path")
        if path and values.get("recursive") and (inner := folders.tracked_below(path)):
            names = ", ".join(folder.path for folder in inner)
            self.add_error(
                "path",
                f"It holds {names}, tracked already: files would be found twice. Remove what lies "
                "in it first, or add it without the folders below.",
            )
        return values


class FolderAdmin(RegistryAdmin[ModelFolder]):
    form = FolderForm
    list_display = (
        "path",
        "enabled",
        "recursive",
        "models",
        "files",
        "troubled",
        "last_scanned_at",
        "trouble",
        "node",
    )
    list_filter = ("enabled", "recursive")
    search_fields = ("path",)
    search_help_text = "Part of the path"
    actions = ("scan_now", "enable", "disable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelFolder]:
        whole = Q(files__state=State.OK, files__first_part=None, files__kind__in=SERVED_KINDS)
        troubled = Q(files__state__in=(State.UNREADABLE, State.INCOMPLETE))
        return (
            super()
            .get_queryset(request)
            .annotate(
                file_count=Count("files", filter=~Q(files__state=State.VANISHED)),
                model_count=Count("files", filter=whole),
                troubled_count=Count("files", filter=troubled),
            )
        )

    def get_fieldsets(self, request: HttpRequest, obj: ModelFolder | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("path", "recursive", "enabled")}),)
        return (
            (None, {"fields": ("path", "recursive", "enabled")}),
            ("What the last scan found", {"fields": _FACTS}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: ModelFolder | None = None) -> Any:
        return _FACTS if obj is None else ("path", *_FACTS)

    def save_model(self, request: HttpRequest, obj: ModelFolder, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.enabled and form.changed_data:
            ask_for_scan(self, request, [obj])

    def delete_model(self, request: HttpRequest, obj: ModelFolder) -> None:
        folders.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ModelFolder]) -> None:
        for folder in queryset:
            folders.remove(folder)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the files instead of naming thousands of them."""
        names = [
            f"{folder}, with what is known of its {folder.files.count()} files. "
            "The files themselves stay on disk."
            for folder in objs
        ]
        return names, {"folders": len(names)}, set(), []

    # ---- Columns -----------------------------------------------------------------------------

    @admin.display(ordering="model_count")
    def models(self, folder: Any) -> int:
        return int(folder.model_count)

    @admin.display(ordering="file_count")
    def files(self, folder: Any) -> SafeString:
        return display.list_link(GgufFile, str(folder.file_count), folder__id__exact=folder.pk)

    @admin.display(description="not usable", ordering="troubled_count")
    def troubled(self, folder: Any) -> SafeString | str:
        if not folder.troubled_count:
            return display.NOTHING
        states = f"{State.UNREADABLE},{State.INCOMPLETE}"
        filters = {"folder__id__exact": folder.pk, "state__in": states}
        return display.list_link(GgufFile, str(folder.troubled_count), **filters)

    @admin.display(description="problem")
    def trouble(self, folder: ModelFolder) -> str:
        return folder.problem.partition("\n")[0] or display.NOTHING

    @admin.display(description="problem")
    def whole_problem(self, folder: ModelFolder) -> SafeString | str:
        return display.text_block(folder.problem)

    # ---- Actions -----------------------------------------------------------------------------

    @admin.action(description="Scan now", permissions=["act"])
    def scan_now(self, request: HttpRequest, queryset: QuerySet[ModelFolder]) -> None:
        ask_for_scan(self, request, list(queryset))

    @admin.action(description="Enable: scan and serve them", permissions=["act"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ModelFolder]) -> None:
        chosen = list(queryset)
        ModelFolder.objects.filter(pk__in=[folder.pk for folder in chosen]).update(enabled=True)
        ask_for_scan(self, request, chosen)

    @admin.action(description="Disable: neither scan nor serve them", permissions=["act"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ModelFolder]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        ModelFolder.objects.filter(pk__in=keys).update(enabled=False)
        self.message_user(request, f"Disabled {len(keys)} folders.", messages.SUCCESS)


admin.site.register(ModelFolder, FolderAdmin)
