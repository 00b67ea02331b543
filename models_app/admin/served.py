from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from models_app import choices, plans
from models_app.admin import display
from models_app.admin.base import RegistryAdmin
from models_app.admin.served_form import AliasForm, ServedModelForm
from models_app.admin.typed import TabularInline
from models_app.models import GgufFile, LoadRecord, ModelAlias, ServedModel

NEWEST_LOADS = 5


class AliasInline(TabularInline[ModelAlias, ServedModel]):
    model = ModelAlias
    form = AliasForm
    fields = ("alias", "automatic")
    readonly_fields = ("automatic",)
    extra = 0
    verbose_name = "id"
    verbose_name_plural = "further ids it answers to"


class ServedModelAdmin(RegistryAdmin[ServedModel]):
    form = ServedModelForm
    inlines = (AliasInline,)
    list_display = (
        "model_id",
        "kind",
        "quantization",
        "context_shown",
        "size",
        "group",
        "enabled",
        "note",
    )
    list_filter = (
        "enabled",
        "unlisted",
        "file__kind",
        "file__architecture",
        "file__quantization",
        "file__state",
        "group",
        "file__folder",
    )
    list_select_related = ("file__folder", "file__projector", "projector", "group")
    search_fields = ("model_id", "name", "aliases__alias", "file__path")
    search_help_text = "Part of an id, a name, an alias or the file's path"
    autocomplete_fields = ("file", "projector", "draft", "group")
    actions = ("enable", "disable", "back_to_automatic")
    readonly_fields = (
        "kind",
        "facts",
        "fitting_projector",
        "fitting_draft",
        "started_as",
        "reasons",
        "loads",
        "created_at",
    )
    save_on_top = True
    fieldsets = (
        (None, {"fields": ("model_id", "name", "description", "enabled", "unlisted", "group")}),
        ("File", {"fields": ("file", "facts", "fitting_projector", "fitting_draft")}),
        (
            "Tuning",
            {
                "description": "Leave empty what the server should choose.",
                "fields": (
                    "context",
                    "gpu_layers",
                    "cache_type",
                    "batch_size",
                    "slots",
                    "projector",
                    "use_projector",
                    "draft",
                    "use_draft",
                    "chat_template",
                    "load_mode",
                    "extra_arguments",
                ),
            },
        ),
        ("How its engine is started now", {"fields": ("started_as", "reasons", "loads")}),
        (
            "Requests",
            {
                "fields": (
                    "pinned",
                    "ttl",
                    "concurrency_limit",
                    "queue_length",
                    "priority",
                    "use_model_name",
                    "strip_params",
                    "set_params",
                    "set_params_by_id",
                    "timeouts",
                )
            },
        ),
        (
            "A command of its own",
            {
                "classes": ("collapse",),
                "fields": (
                    "cmd",
                    "cmd_stop",
                    "proxy",
                    "check_endpoint",
                    "env",
                    "macros",
                    "unload_timeout",
                ),
            },
        ),
        ("Notes", {"classes": ("collapse",), "fields": ("metadata", "created_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServedModel]:
        later_parts = (
            GgufFile.objects.filter(first_part=OuterRef("file"))
            .order_by()
            .values("first_part")
            .annotate(total=Sum("size"))
            .values("total")
        )
        rows = super().get_queryset(request).annotate(later_size=Subquery(later_parts))
        return rows.defer("file__facts", "file__projector__facts", "projector__facts")

    # ---- Columns -----------------------------------------------------------------------------

    @admin.display(ordering="file__kind")
    def kind(self, model: ServedModel) -> str:
        return model.kind() or display.NOTHING

    @admin.display(description="quant", ordering="file__quantization")
    def quantization(self, model: ServedModel) -> str:
        return (model.file and model.file.quantization) or display.NOTHING

    @admin.display(ordering="file__parameters")
    def parameters(self, model: ServedModel) -> str:
        return display.short(model.file.parameters if model.file else None)

    @admin.display(description="context", ordering="file__context_length")
    def context_shown(self, model: ServedModel) -> str:
        if model.context:
            return f"{model.context:,}"
        trained = model.file.context_length if model.file else None
        return f"up to {trained:,}" if trained else "automatic"

    @admin.display(ordering="file__size")
    def size(self, model: Any) -> str:
        return display.size(model.file.size + (model.later_size or 0) if model.file else None)

    @admin.display
    def note(self, model: ServedModel) -> str:
        """Why it is not served, else what a person chose for it."""
        names = (name.replace("_", " ") for name in choices.chosen(model))
        by_hand = ", ".join(names)
        return why_not_served(model) or (by_hand and f"By hand: {by_hand}") or display.NOTHING

    # ---- The page of one model ---------------------------------------------------------------

    @admin.display
    def facts(self, model: ServedModel) -> SafeString | str:
        if model.file is None:
            return "It has no file now." if model.pk else display.NOTHING
        return display.table(
            {
                "file": display.link(model.file, model.file.path),
                "problem": why_not_served(model),
                "kind": self.kind(model),
                "architecture": model.file.architecture,
                "quantization": self.quantization(model),
                "parameters": self.parameters(model),
                "trained context": display.tokens(model.file.context_length),
                "size": self.size(model),
            }
        )

    @admin.display(description="projector that fits")
    def fitting_projector(self, model: ServedModel) -> SafeString | str:
        return display.link(model.file.projector if model.file else None)

    @admin.display(description="draft model that fits")
    def fitting_draft(self, model: ServedModel) -> SafeString | str:
        return display.link(model.file.draft if model.file else None)

    @admin.display(description="command")
    def started_as(self, model: ServedModel) -> SafeString | str:
        if model.cmd.strip():
            return "By the command of its own, below."
        plan = _plan(model)
        return display.text_block(plan[0]) if plan else display.NOTHING

    @admin.display(description="why")
    def reasons(self, model: ServedModel) -> SafeString | str:
        plan = None if model.cmd.strip() else _plan(model)
        return display.text_block(plan[1]) if plan else display.NOTHING

    @admin.display(description="newest loads")
    def loads(self, model: ServedModel) -> SafeString | str:
        """What they took, and how good the prediction was."""
        rows = model.file.loads.all()[:NEWEST_LOADS] if model.file else ()
        lines = format_html_join(SafeString("<br>"), "{}: {}", map(_load_line, rows))
        return lines or "It was not loaded yet."

    # ---- Actions -----------------------------------------------------------------------------

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[ServedModel]) -> None:
        count = _plain(queryset).update(enabled=True)
        self.message_user(request, f"Enabled {count} models.", messages.SUCCESS)

    @admin.action(description="Disable")
    def disable(self, request: HttpRequest, queryset: QuerySet[ServedModel]) -> None:
        count = _plain(queryset).update(enabled=False)
        self.message_user(request, f"Disabled {count} models.", messages.SUCCESS)

    @admin.action(description="Tuning back to automatic")
    def back_to_automatic(self, request: HttpRequest, queryset: QuerySet[ServedModel]) -> None:
        count = choices.back_to_automatic(_plain(queryset))
        self.message_user(
            request, f"The tuning of {count} models is automatic again.", messages.SUCCESS
        )


def why_not_served(model: ServedModel) -> str:
    """Why requests for the model are refused, "" when they are not."""
    if not model.enabled:
        return "Disabled."
    if model.file is None:
        return "" if model.cmd.strip() else "It has no file."
    if not model.file.folder.enabled:
        return "Its folder is disabled."
    if model.file.state == GgufFile.State.OK or model.cmd.strip():
        return ""
    return model.file.problem


def _load_line(load: LoadRecord) -> tuple[SafeString | str, str]:
    when = timezone.localtime(load.at).strftime("%Y-%m-%d %H:%M")
    took = f"{display.size(load.measured)} in {load.load_seconds:.1f} s"
    if load.error is None:
        return display.link(load, when), took
    off = display.signed_percent(load.error)
    return display.link(load, when), f"{took}; predicted {display.size(load.predicted)} ({off})"


def _plan(model: ServedModel) -> tuple[str, str] | None:
    """The command worked out for the model, and the reasons; None when there is none."""
    if not model.pk or model.file is None or not model.file.facts:
        return None
    context = plans.PlanContext.load()
    try:
        plan = plans.plan_for(model, context)
        reasons = "\n".join(f"{reason.topic}: {reason.text}" for reason in plan.reasons)
        return plans.command_text(model, context), reasons
    except ValueError as error:
        return "", f"None can be made: {error}."


def _plain(queryset: QuerySet[ServedModel]) -> QuerySet[ServedModel]:
    """The same rows without the annotations of the list, which an update cannot have."""
    return ServedModel.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))


admin.site.register(ServedModel, ServedModelAdmin)
