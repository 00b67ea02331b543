"""One model's own page: what it is, how it is started and why, and what else could be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from models_app import changing, gpu_choice, retuning, revisions, secrecy
from models_app.access import keeps_within_reach, needs, rights_of
from models_app.models import LoadRecord, ServedModel, ServerSettings
from models_app.models.served import CACHE_TYPES
from models_app.plans import PlanContext, describe, find_model, gpus_to_choose, plan_for
from models_app.rights import Scope
from models_app.what_if import read_wishes
from models_app.within_reach import looked_after
from ui_app import memory_bars, model_cards, runtime, snippets
from ui_app.posting import acts

LOADS_SHOWN: Final = 10
REVISIONS_SHOWN: Final = 8
LOG_BYTES: Final = 24 * 1024
LEAST_CONTEXT: Final = 256
MOST: Final = 10_000_000


class TuningForm(forms.Form):
    """What a person may choose; empty is automatic. Names as the plan API has them."""

    context = forms.IntegerField(
        label=gettext_lazy("Context, in tokens"),
        required=False,
        min_value=LEAST_CONTEXT,
        max_value=MOST,
        help_text=gettext_lazy("How long a conversation may be. Empty: chosen for you."),
    )
    slots = forms.IntegerField(
        label=gettext_lazy("Requests at once"),
        required=False,
        min_value=1,
        max_value=256,
        help_text=gettext_lazy("They share the context."),
    )
    cacheType = forms.ChoiceField(
        label=gettext_lazy("Precision of the context"),
        required=False,
        choices=[("", gettext_lazy("chosen for you")), *((name, name) for name in CACHE_TYPES)],
        help_text=gettext_lazy("Less precision takes less memory."),
    )
    layers = forms.IntegerField(
        label=gettext_lazy("Layers on the GPU"),
        required=False,
        min_value=0,
        max_value=MOST,
        help_text=gettext_lazy("0: none. 999: all."),
    )

    gpus = forms.MultipleChoiceField(
        label=gettext_lazy("GPUs"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("The only ones it may use. None: chosen for you."),
    )

    def __init__(self, model: ServedModel, data: Any = None) -> None:
        """Without data, as it is set."""
        chosen = list(gpu_choice.words_of(model.gpus))
        initial = {
            "context": model.context,
            "slots": model.slots,
            "cacheType": model.cache_type,
            "layers": model.gpu_layers,
            "gpus": chosen,
        }
        super().__init__(data, initial=initial)
        there = {gpu.name: f"{gpu.name}: {gpu.description}" for gpu in gpus_to_choose(model.engine)}
        # What is set and gone meanwhile stays until somebody takes it out.
        offered = {**there, **{name: name for name in chosen if name not in there}}
        if offered:
            self.fields["gpus"].choices = list(offered.items())  # type: ignore[attr-defined]
        else:
            del self.fields["gpus"]

    def wished(self) -> dict[str, str]:
        """What is filled in, as the plan reads it."""
        return {
            name: ",".join(value) if isinstance(value, list) else str(value)
            for name, value in self.cleaned_data.items()
            if value not in ("", None, [])
        }

    def choices(self) -> dict[str, Any]:
        """What is chosen, by the names of the API; None is automatic."""
        values = dict(self.cleaned_data)
        values["contextSize"] = values.pop("context")
        if "gpus" in values:
            values["gpus"] = ",".join(values["gpus"]) or None
        return values


@needs(Scope.INFERENCE)
@require_safe
@never_cache
def model(request: HttpRequest, pk: int) -> HttpResponse:
    """A model. A query such as `?context=8192` shows what that would mean."""
    row = get_object_or_404(model_cards.listed(), pk=pk)
    if not looked_after(rights_of(request))(row.model_id):
        raise Http404
    asked = TuningForm(row, request.GET) if set(request.GET) & set(TuningForm.base_fields) else None
    return _page(request, row, asked)


@needs(Scope.MANAGE)
@keeps_within_reach
@acts("ui-models")
def tune(request: HttpRequest, pk: int) -> HttpResponse:
    """Save what was chosen; the message tells what restarts."""
    row = get_object_or_404(ServedModel, pk=pk)
    if not looked_after(rights_of(request))(row.model_id):
        raise Http404
    form = TuningForm(row, request.POST)
    if not form.is_valid():
        return _page(request, get_object_or_404(model_cards.listed(), pk=pk), form, status=422)
    try:
        changed = changing.change(lambda: retuning.retune(row, form.choices()), "model tuned")
    except retuning.CannotRetune as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Saved. %(effect)s") % {"effect": changed.effect})
    return redirect("ui-model", pk=pk)


def _page(
    request: HttpRequest, row: ServedModel, form: TuningForm | None, status: int = 200
) -> HttpResponse:
    now = runtime.now()
    (card,) = model_cards.cards([row], now)
    server = request.build_absolute_uri("/").rstrip("/")
    keyed = ServerSettings.current().require_api_key
    plan = _plan(row, form)
    context = {
        "card": card,
        "model": row,
        "form": form or TuningForm(row),
        "is_what_if": form is not None and form.is_valid(),
        **plan,
        "command": _command(request, row, plan.get("plan")),
        "loads": _loads(row),
        "revisions": revisions.touching(row.model_id, REVISIONS_SHOWN)
        if rights_of(request).manages_all
        else [],
        "log": _tail(card.log) if _may(request, Scope.MANAGE) else "",
        "snippets": snippets.every(server, row.model_id, card.kind, keyed),
        "api_url": f"{server}/v1",
        "most_context": row.file.context_length if row.file else None,
    }
    return render(request, "ui/model.html", context, status=status)


def _plan(row: ServedModel, form: TuningForm | None) -> dict[str, Any]:
    """How it would be started, with what is filled in; empty for a command of its own."""
    if row.file is None:
        return {}
    found = find_model(row.model_id)
    assert found is not None
    context = PlanContext.load().of(found)
    wished = form.wished() if form is not None and form.is_valid() else {}
    plan = describe(plan_for(found, context, read_wishes(wished)), context)
    return {"plan": plan, "bars": memory_bars.of_plan(plan["memory"])}


def _command(request: HttpRequest, row: ServedModel, plan: dict[str, Any] | None) -> str:
    """How it is started: for those who care for models, its secrets for administrators alone."""
    if not _may(request, Scope.MANAGE):
        return ""
    command = row.cmd or (plan["command"] if plan else "")
    return command if _may(request, Scope.ADMIN) else secrecy.hidden(command)


def _loads(row: ServedModel) -> list[LoadRecord]:
    return list(LoadRecord.objects.filter(file=row.file)[:LOADS_SHOWN]) if row.file else []


def _tail(log: Path) -> str:
    """The end of a log, from the beginning of a line."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text if size <= LOG_BYTES else text.partition("\n")[2]


def _may(request: HttpRequest, scope: Scope) -> bool:
    return bool(request.rights.may(scope))  # type: ignore[attr-defined]
