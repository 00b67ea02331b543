from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from models_app import choices, secrecy
from models_app.access import rights_of
from models_app.admin import display, duplicates, live, served_actions
from models_app.admin.base import RegistryAdmin
from models_app.admin.reasons import why_not_served
from models_app.admin.served_filters import (
    ArchitectureFilter,
    ByHandFilter,
    FileStateFilter,
    KindFilter,
    QuantizationFilter,
    StateFilter,
)
from models_app.admin.served_form import AliasForm, AliasFormSet, ServedModelForm
from models_app.admin.served_plans import PARTS, UNREAD, Planner
from models_app.admin.told import told
from models_app.admin.typed import TabularInline
from models_app.models import LoadRecord, ModelAlias, ServedModel
from models_app.rights import Scope

NEWEST_LOADS = 5

_NOT_LOOKED_AT: Final = frozenset((*choices.RUNS_PROGRAMS, "set_params", "set_params_by_id"))


def _without_secrets(names: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(name for name in names if name not in choices.RUNS_PROGRAMS)


class AliasInline(TabularInline[ModelAlias, ServedModel]):
    model = ModelAlias
    form = AliasForm
    formset = AliasFormSet
    fields = ("alias", "automatic")
    readonly_fields = ("automatic",)
    extra = 0
    verbose_name = "id"
    verbose_name_plural = "further ids it answers to"


class ServedModelAdmin(RegistryAdmin[ServedModel]):
    form = ServedModelForm
    further_pages = (("Duplicates", "admin:models_app_servedmodel_duplicates"),)
    inlines = (AliasInline,)
    list_display = (
        "model_id",
        "kind",
        "quantization",
        "note",
        "group",
    )
    list_filter = (
        StateFilter,
        "enabled",
        KindFilter,
        QuantizationFilter,
        ArchitectureFilter,
        ByHandFilter,
        "group",
        ("file__state", FileStateFilter),
        "unlisted",
        "file__folder",
    )
    list_per_page = 50
    list_select_related = (
        "file__folder",
        "file__projector",
        "file__draft",
        "projector",
        "draft",
        "group",
        "engine",
    )
    search_fields = ("model_id", "name", "aliases__alias", "file__path")
    search_help_text = "Part of an id, a name, an alias or the file's path"
    autocomplete_fields = ("file", "projector", "draft", "group")
    actions = served_actions.ALL
    readonly_fields = (
        "kind",
        "facts",
        "fitting_projector",
        "fitting_draft",
        "started_as",
        "reasons",
        "loads",
        "state_now",
        "used",
        "memory",
        "created_at",
    )
    save_on_top = True
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state_now",
                    "used",
                    "model_id",
                    "name",
                    "description",
                    "enabled",
                    "unlisted",
                    "group",
                )
            },
        ),
        ("File", {"fields": ("file", "facts", "fitting_projector", "fitting_draft")}),
        (
            "Tuning",
            {
                "description": "Leave empty what the server should choose.",
                "fields": (
                    "context",
                    "gpus",
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
                    "engine",
                    "extra_arguments",
                ),
            },
        ),
        ("How its engine is started now", {"fields": ("memory", "started_as", "reasons", "loads")}),
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

    def get_readonly_fields(self, request: HttpRequest, obj: ServedModel | None = None) -> Any:
        """What an engine is started with can run any program: that takes an administrator."""
        if rights_of(request).may(Scope.ADMIN):
            return self.readonly_fields
        return (*self.readonly_fields, *choices.RUNS_PROGRAMS)

    def get_fieldsets(self, request: HttpRequest, obj: ServedModel | None = None) -> Any:
        """Commands and environments hold secrets; who may not change them does not read them."""
        fieldsets = super().get_fieldsets(request, obj)
        if rights_of(request).may(Scope.ADMIN):
            return fieldsets
        shown = [
            (title, {**more, "fields": _without_secrets(more["fields"])})
            for title, more in fieldsets
        ]
        return [one for one in shown if one[1]["fields"]]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Nor does anybody find out by what a list of those that hold a text is long."""
        if lookup.partition("__")[0] in _NOT_LOOKED_AT:
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServedModel]:
        return super().get_queryset(request).defer(*UNREAD).prefetch_related(PARTS)

    def get_urls(self) -> list[Any]:
        duplicated = self.own_page("duplicates", duplicates.page)
        return [duplicated, *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """With those that the part that serves added."""
        actions = super().get_actions(request)
        if self.has_act_permission(request):
            for action in live.SERVING.actions:
                name = action.__name__
                actions.setdefault(name, (action, name, getattr(action, "short_description", name)))
        return actions

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns, with those that are worked out for this page at once."""
        now = cache(live.SERVING.snapshot)
        planner = Planner()
        worked_out = {
            "model_id": [
                _column("state", lambda model: live.badge(now().of(model), model.model_id))
            ],
            "quantization": [
                _column("context", planner.tokens, ordering="file__context_length"),
                _column("memory plan", planner.memory),
                _column(
                    "last use",
                    lambda model: live.last_use(now().of(model), model),
                    ordering="last_used_at",
                ),
            ],
        }
        names = super().get_list_display(request)
        return [column for name in names for column in (name, *worked_out.get(str(name), ()))]

    def save_model(self, request: HttpRequest, obj: ServedModel, form: Any, change: bool) -> None:
        """Write what was changed only: the server writes other columns meanwhile."""
        obj.save(update_fields=form.changed_data if change else None)

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

    @admin.display(ordering="file__size")
    def size(self, model: ServedModel) -> str:
        if model.file is None:
            return display.NOTHING
        later = sum(part.size for part in model.file.later_parts.all())
        return display.size(model.file.size + later)

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
                **told(model.file.facts),
            }
        )

    @admin.display(description="projector that fits")
    def fitting_projector(self, model: ServedModel) -> SafeString | str:
        return display.link(model.file.projector if model.file else None)

    @admin.display(description="draft model that fits")
    def fitting_draft(self, model: ServedModel) -> SafeString | str:
        return display.link(model.file.draft if model.file else None)

    @admin.display(description="state")
    def state_now(self, model: ServedModel) -> SafeString | str:
        if not model.pk:
            return display.NOTHING
        now = live.SERVING.snapshot().of(model)
        reason = why_not_served(model) or now.problem
        shown = live.badge(now, model.model_id)
        return format_html("{} {}", shown, reason) if reason else shown

    @admin.display(description="last use")
    def used(self, model: ServedModel) -> str:
        return live.last_use(live.SERVING.snapshot().of(model), model)

    @admin.display(description="memory plan")
    def memory(self, model: ServedModel) -> SafeString | str:
        return Planner().memory(model)

    @admin.display(description="command")
    def started_as(self, model: ServedModel) -> SafeString | str:
        if model.cmd.strip():
            return "By the command of its own, below."
        return display.text_block(secrecy.hidden(Planner().command(model)))

    @admin.display(description="why")
    def reasons(self, model: ServedModel) -> SafeString | str:
        return display.text_block(Planner().reasons(model))

    @admin.display(description="newest loads")
    def loads(self, model: ServedModel) -> SafeString | str:
        """What they took, and how good the prediction was."""
        rows = model.file.loads.all()[:NEWEST_LOADS] if model.file else ()
        lines = format_html_join(SafeString("<br>"), "{}: {}", map(_load_line, rows))
        return lines or "It was not loaded yet."


def _column(
    name: str, text: Callable[[ServedModel], Any], ordering: str | None = None
) -> Callable[[ServedModel], Any]:
    """A column of the list, made for one page."""

    @admin.display(description=name, ordering=ordering)
    def column(model: ServedModel) -> Any:
        return text(model)

    column.__name__ = name.replace(" ", "_")
    return column


def _load_line(load: LoadRecord) -> tuple[SafeString | str, str]:
    when = timezone.localtime(load.at).strftime("%Y-%m-%d %H:%M")
    took = f"{display.size(load.measured)} in {load.load_seconds:.1f} s"
    if load.error is None:
        return display.link(load, when), took
    off = display.signed_percent(load.error)
    return display.link(load, when), f"{took}; predicted {display.size(load.predicted)} ({off})"


admin.site.register(ServedModel, ServedModelAdmin)
