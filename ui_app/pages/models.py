"""The web UI under /ui/. Every list and form here works without JavaScript."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.i18n import JavaScriptCatalog

from models_app import engine_build, engine_installs, folders, hand_edits, scan_runs
from models_app.access import Open, needs
from models_app.models import GgufFile, ModelFolder, ScanRun, ServedModel
from models_app.naming import split_of
from models_app.rights import Scope
from proxy_app import questions, ui_events
from proxy_app.errors import GatewayError, ModelFailedToStart, NotServing
from proxy_app.runner import Runner
from proxy_app.serving import SERVING
from ui_app import model_cards

View = Callable[[HttpRequest], HttpResponse]

SETTLE_SECONDS = 2.0
"""How long a form waits for the model it loads or unloads before it shows the page again."""

TEXTS = needs(Open.ANYBODY)(
    cache_control(max_age=600)(JavaScriptCatalog.as_view(packages=["ui_app"]))
)
"""The page's language for its scripts."""

_SCANNING = (ScanRun.Status.QUEUED, ScanRun.Status.RUNNING)


class FolderForm(forms.Form):
    """Asks for a folder to serve models from."""

    path = forms.CharField(
        label=gettext_lazy("Folder on the server"),
        max_length=4096,
        widget=forms.TextInput(
            attrs={
                "form": "folder-form",
                "placeholder": "/home/you/models",
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
            }
        ),
    )


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A tracked folder as the page shows it."""

    path: str
    enabled: bool
    models: int
    files: int
    scanned_at: datetime | None
    problem: str


def _acts(view: View) -> View:
    """A view that changes something by POST. Any other way in leads to the page."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return redirect("ui-models")
        return view(request)

    return guarded


# ---- The page ----------------------------------------------------------------------------------


@needs(Scope.INFERENCE)
@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """All models with their state, the folders they come from, and how to call one."""
    return _page(request, FolderForm())


def _page(request: HttpRequest, form: FolderForm, status: int = 200) -> HttpResponse:
    statuses = _statuses()
    cards = model_cards.cards(model_cards.listed(), statuses)
    scan = ui_events.newest_scan()
    is_scanning = scan is not None and scan["status"] in _SCANNING
    context = {
        "cards": cards,
        "ready": sum(card.state is model_cards.State.READY for card in cards),
        "folders": _folders(),
        "unserved": _unserved_files(),
        "folder_form": form,
        "scan": scan,
        "is_scanning": is_scanning,
        "is_busy": is_scanning or any(card.is_busy for card in cards),
        "has_engines": statuses is not None,
        "engine_problem": _engine_problem(),
        "config_problems": hand_edits.problems(),
    }
    response = render(request, "ui/models.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _statuses() -> list[dict[str, Any]] | None:
    try:
        found: list[dict[str, Any]] = questions.ask("statuses")
    except NotServing:
        return None
    return found


def _folders() -> list[FolderRow]:
    present = ~Q(files__state=GgufFile.State.VANISHED)
    rows = ModelFolder.objects.annotate(
        file_count=Count("files", filter=present, distinct=True),
        model_count=Count("files__served_as", filter=present, distinct=True),
    )
    return [
        FolderRow(
            path=row.path,
            enabled=row.enabled,
            models=row.model_count,
            files=row.file_count,
            scanned_at=row.last_scanned_at,
            problem=row.problem,
        )
        for row in rows
    ]


def _unserved_files() -> list[GgufFile]:
    """Files with a reason why they cannot be served, a split model's parts as one."""
    rows = (
        GgufFile.objects.filter(
            state__in=(GgufFile.State.UNREADABLE, GgufFile.State.INCOMPLETE), folder__enabled=True
        )
        .exclude(problem="")
        .defer("facts")
        .order_by("path")
    )
    by_set: dict[tuple[str, str], GgufFile] = {}
    for row in rows:
        split = split_of(row.relative_path)
        by_set.setdefault((split.prefix if split else row.path, row.problem), row)
    return list(by_set.values())


def _engine_problem() -> str:
    try:
        return "" if engine_installs.locate() else engine_build.NO_ENGINE_HELP
    except engine_build.EngineProblem as error:
        return str(error)


# ---- Its forms ---------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@_acts
def act(request: HttpRequest) -> HttpResponse:
    """Load or unload the model that the pressed button names."""
    name = request.POST.get("load") or request.POST.get("unload") or ""
    try:
        model = SERVING.find(name).entry.model_id
        SERVING.call(_loading(model) if "load" in request.POST else _unloading(model))
    except ModelFailedToStart:
        pass  # The model itself shows it, with the reason.
    except GatewayError as error:
        messages.error(request, error.message)
    row = ServedModel.objects.filter(model_id=name).only("pk").first()
    return redirect(reverse("ui-models") + (f"#model-{row.pk}" if row else ""))


def _loading(model: str) -> Callable[[Runner], Any]:
    async def load(runner: Runner) -> None:
        runner.load(model)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await runner.wait_until_settled(model)

    return load


def _unloading(model: str) -> Callable[[Runner], Any]:
    async def unload(runner: Runner) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await runner.unload(model)

    return unload


@needs(Scope.MANAGE)
@_acts
def scan(request: HttpRequest) -> HttpResponse:
    """Scan all folders."""
    scan_runs.request()
    return redirect(f"{reverse('ui-models')}#folders")


@needs(Scope.MANAGE)
@_acts
def add_folder(request: HttpRequest) -> HttpResponse:
    """Track a folder and scan it."""
    form = FolderForm(request.POST)
    if form.is_valid():
        try:
            folder = folders.add(form.cleaned_data["path"])
        except folders.FolderError as error:
            form.add_error("path", str(error))
        else:
            scan_runs.request([folder])
            messages.success(request, _("%(folder)s is scanned for models.") % {"folder": folder})
            return redirect(f"{reverse('ui-models')}#folders")
    return _page(request, form, status=422)
