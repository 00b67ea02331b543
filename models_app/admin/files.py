from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app import introduce
from models_app.admin import display, vanished
from models_app.admin.base import ReadOnlyAdmin
from models_app.admin.scans import ask_for_scan
from models_app.kinds import Kind
from models_app.models import GgufFile, ModelFolder

State = GgufFile.State

# Shown above the table of facts, or only of use to the planning of memory.
_LEFT_OUT = frozenset(
    {
        "version",
        "kind",
        "architecture",
        "quantization",
        "parameters",
        "context_length",
        "split_no",
        "split_count",
        "shape",
    }
)


# Fields of a model's form -> the kinds of files they can take.
_KINDS_FOR: Final = {
    "projector": (Kind.PROJECTOR,),
    "draft": (Kind.CHAT, Kind.VISION, Kind.AUDIO, Kind.BASE, Kind.DRAFT),
}


class FileAdmin(ReadOnlyAdmin[GgufFile]):
    further_pages = (("Vanished files", "admin:models_app_gguffile_vanished"),)
    list_display = (
        "relative_path",
        "kind",
        "architecture",
        "quant",
        "context",
        "human_size",
        "trouble",
        "node",
    )
    list_filter = ("state", "kind", "architecture", "quantization", "folder")
    search_fields = ("relative_path", "path", "architecture", "quantization")
    search_help_text = "Part of the path, an architecture or a quantization"
    actions = ("make_models", "scan_folders", "forget")
    fieldsets = (
        (None, {"fields": ("path", "state", "whole_problem", "models")}),
        (
            "What it is",
            {
                "fields": (
                    "kind",
                    "architecture",
                    "quantization",
                    "parameter_count",
                    "context",
                    "facts_table",
                )
            },
        ),
        (
            "What belongs to it",
            {
                "fields": (
                    "part_number",
                    "leader",
                    "parts",
                    "fitting",
                    "fits",
                    "fitting_draft",
                    "drafts_for",
                )
            },
        ),
        ("On disk", {"fields": ("node", "folder", "human_size", "first_seen_at", "last_seen_at")}),
    )
    readonly_fields = (
        "whole_problem",
        "models",
        "parameter_count",
        "context",
        "facts_table",
        "part_number",
        "leader",
        "parts",
        "fitting",
        "fits",
        "fitting_draft",
        "drafts_for",
        "human_size",
        "node",
    )

    def get_urls(self) -> list[Any]:
        return [self.own_page("vanished", vanished.page), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[GgufFile]:
        return super().get_queryset(request).defer("facts")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[GgufFile], search_term: str
    ) -> tuple[QuerySet[GgufFile], bool]:
        """Offer only projectors where a form asks for a projector, and so for draft models."""
        queryset, duplicates = super().get_search_results(request, queryset, search_term)
        if request.path.endswith("/autocomplete/"):
            queryset = queryset.exclude(state=State.VANISHED)
            if kinds := _KINDS_FOR.get(request.GET.get("field_name", "")):
                queryset = queryset.filter(kind__in=kinds, first_part=None)
        return queryset, duplicates

    # ---- Columns -----------------------------------------------------------------------------

    @admin.display(description="parameters", ordering="parameters")
    def parameter_count(self, file: GgufFile) -> str:
        return display.short(file.parameters)

    @admin.display(description="context", ordering="context_length")
    def context(self, file: GgufFile) -> str:
        return display.tokens(file.context_length)

    @admin.display(description="size", ordering="size")
    def human_size(self, file: GgufFile) -> str:
        return display.size(file.size)

    @admin.display(ordering="quantization")
    def quant(self, file: GgufFile) -> str:
        return file.quantization or display.NOTHING

    @admin.display(description="state", ordering="state")
    def trouble(self, file: GgufFile) -> str:
        return file.problem or file.get_state_display()

    @admin.display(description="problem")
    def whole_problem(self, file: GgufFile) -> SafeString | str:
        return display.text_block(file.problem)

    @admin.display(description="served as")
    def models(self, file: GgufFile) -> SafeString | str:
        return display.links(file.served_as.all())

    @admin.display(description="facts")
    def facts_table(self, file: GgufFile) -> SafeString | str:
        return display.table(
            {name: value for name, value in file.facts.items() if name not in _LEFT_OUT}
        )

    @admin.display(description="part")
    def part_number(self, file: GgufFile) -> str:
        return f"{file.split_no} of {file.split_count}" if file.split_no else display.NOTHING

    @admin.display(description="first part")
    def leader(self, file: GgufFile) -> SafeString | str:
        return display.link(file.first_part)

    @admin.display(description="further parts")
    def parts(self, file: GgufFile) -> SafeString | str:
        return display.links(file.later_parts.all())

    @admin.display(description="projector that fits")
    def fitting(self, file: GgufFile) -> SafeString | str:
        return display.link(file.projector)

    @admin.display(description="models it fits")
    def fits(self, file: GgufFile) -> SafeString | str:
        return display.links(file.fits.all())

    @admin.display(description="draft model that fits")
    def fitting_draft(self, file: GgufFile) -> SafeString | str:
        return display.link(file.draft)

    @admin.display(description="models it may draft for")
    def drafts_for(self, file: GgufFile) -> SafeString | str:
        return display.links(file.drafts_for.all())

    # ---- Actions -----------------------------------------------------------------------------

    @admin.action(description="Serve: make a model of each that has none", permissions=["act"])
    def make_models(self, request: HttpRequest, queryset: QuerySet[GgufFile]) -> None:
        made = introduce.introduce_again(queryset)
        self.message_user(
            request,
            f"Made {made} models. Files that cannot be served, or are already, were left out.",
            messages.SUCCESS if made else messages.WARNING,
        )

    @admin.action(description="Scan their folders again", permissions=["act"])
    def scan_folders(self, request: HttpRequest, queryset: QuerySet[GgufFile]) -> None:
        keys = queryset.order_by().values_list("folder", flat=True).distinct()
        ask_for_scan(self, request, ModelFolder.objects.filter(pk__in=list(keys)))

    @admin.action(description="Forget those that are no longer on disk", permissions=["act"])
    def forget(self, request: HttpRequest, queryset: QuerySet[GgufFile]) -> None:
        gone = queryset.filter(state=State.VANISHED).values_list("pk", flat=True)
        count, _ = GgufFile.objects.filter(pk__in=list(gone)).delete()
        self.message_user(
            request,
            f"Forgot {count} files. Their models wait without a file."
            if count
            else "None of these files is gone from disk.",
            messages.SUCCESS if count else messages.WARNING,
        )


admin.site.register(GgufFile, FileAdmin)
