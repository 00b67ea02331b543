"""Setting the server up: this machine, folders, what was found, how it is tuned, first chat.

The page can be opened again at any time; each step shows what is so and lets it be changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from downloads_app import orders, starter, starter_download, suggestions
from downloads_app.models import Download
from downloads_app.sources.picking import NothingFits, order_for
from downloads_app.trouble import Trouble
from models_app import browsing, detection, folders, hardware, people, scan_runs, setting_up
from models_app.access import needs, rights_of
from models_app.devices import resources
from models_app.kinds import Kind
from models_app.models import GgufFile, ModelFolder, ScanRun, ServedModel, ServerSettings
from models_app.plans import PlanContext, describe, find_model, plan_for, preferences_of
from models_app.rights import Scope
from models_app.what_if import read_wishes
from proxy_app import ui_events
from ui_app import notices, runtime
from ui_app.pages.models import unserved_files
from ui_app.posting import acts
from ui_app.templatetags.ui import grouped

SCANNING: Final = (ScanRun.Status.QUEUED, ScanRun.Status.RUNNING)
SPEED_CONTEXT: Final = 8192
_TALKERS: Final = (Kind.CHAT, Kind.VISION, Kind.AUDIO)
STARTER: Final = "starter"
"""In place of a repository: the model from the Python package index."""


class FolderForm(forms.Form):
    """Asks for a folder to serve models from."""

    path = forms.CharField(
        label=gettext_lazy("Folder on the server"),
        max_length=4096,
        widget=forms.TextInput(
            attrs={
                "form": "folder-form",
                "class": "mono",
                "placeholder": "/home/you/models",
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
            }
        ),
    )


@dataclass(frozen=True, slots=True)
class Aim:
    """One way to tune all models: what people weigh is how long texts may be, against speed."""

    key: str
    name: str
    text: str
    context: int
    throughput_first: bool

    def options(self) -> dict[str, Any]:
        """As a set-up takes it."""
        return {"preferredContext": self.context, "throughputFirst": self.throughput_first}

    def wishes(self) -> dict[str, str]:
        """As a plan takes it."""
        first = "true" if self.throughput_first else "false"
        return {"preferredContext": str(self.context), "throughputFirst": first}


def aims(machine: hardware.Machine) -> list[Aim]:
    """The ways there are on this machine, quick ones first."""
    preferences = preferences_of(ServerSettings())
    told = detection.detection(machine, preferences, timezone.now())
    suggested = told["recommendations"]["suggestedContextSize"]
    longest = max(told["maxRecommendedContextSize"], 2 * suggested)
    return [
        Aim("speed", _("Quick answers"), _("Short conversations, several at once."),
            min(SPEED_CONTEXT, suggested), True),
        Aim("balanced", _("Balanced"), _("What this machine does well."), suggested, True),
        Aim("long", _("Long texts"), _("Whole documents at once; answers begin later."),
            longest, False),
    ]  # fmt: skip


@needs(Scope.MANAGE)
@require_safe
@never_cache
def setup(request: HttpRequest) -> HttpResponse:
    """All steps, each as far as it is."""
    return _page(request, FolderForm())


@needs(Scope.MANAGE)
@require_safe
@never_cache
def browse(request: HttpRequest) -> HttpResponse:
    """Folders of the server, to choose one."""
    roots = browsing.roots()
    path = request.GET.get("path", "") or (roots[0] if roots else "/")
    context: dict[str, Any] = {"roots": roots, "path": path}
    try:
        context["looked"] = browsing.look(path)
        context["tracked"] = folders.tracked_as(context["looked"].path) is not None
    except browsing.NotShown as error:
        context["problem"] = str(error)
    return render(request, "ui/setup/browse.html", context)


def _page(request: HttpRequest, form: FolderForm, status: int = 200) -> HttpResponse:
    now = runtime.now()
    machine = hardware.current()
    settings = ServerSettings.current()
    scan = ui_events.newest_scan()
    found = list(ServedModel.objects.filter(enabled=True).order_by("model_id")[:200])
    first = _first(found)
    context = {
        **_machine(machine, settings),
        "folders": folder_rows(),
        "folder_form": form,
        "scan": scan,
        "is_scanning": scan is not None and scan["status"] in SCANNING,
        "found": found,
        "unserved": unserved_files(),
        "aims": _previews(aims(machine), first, settings),
        "suggestions": [] if found else suggestions.for_machine(),
        "starter": starter,
        "downloads": _downloads(),
        "needs_administrator": not people.administrator_exists(),
        "notices": notices.notices(now, rights_of(request)),
        "first": first,
        "is_busy": scan is not None and scan["status"] in SCANNING,
    }
    return render(request, "ui/setup.html", context, status=status)


def _machine(machine: hardware.Machine, settings: ServerSettings) -> dict[str, Any]:
    quality = detection.quality(machine)
    words = {
        "excellent": _("Certain: measured, and confirmed by the engine"),
        "good": _("Likely: as the system tells; no engine was asked yet"),
        "basic": _("Uncertain: some of it could not be read, see below"),
    }
    return {
        "machine": machine,
        "gpus": detection.counted_gpus(machine),
        "sure": words[quality],
        "sure_tone": {"excellent": "good", "good": "accent", "basic": "busy"}[quality],
        "notes": resources(machine, preferences_of(settings)).notes,
    }


def _previews(
    found: list[Aim], first: ServedModel | None, settings: ServerSettings
) -> list[dict[str, Any]]:
    """The aims, with what each would mean for the model to chat with first."""
    # Of a command that somebody wrote nothing is planned.
    example = find_model(first.model_id) if first and not first.cmd else None
    context = PlanContext.load() if example else None
    shown = []
    for aim in found:
        chosen = (settings.preferred_context, settings.throughput_first) == (
            aim.context,
            aim.throughput_first,
        )
        plan = None
        if example is not None and context is not None:
            plan = describe(plan_for(example, context, read_wishes(aim.wishes())), context)
        shown.append({"aim": aim, "is_chosen": chosen, "plan": plan, "example": example})
    return shown


def _first(found: list[ServedModel]) -> ServedModel | None:
    """The model to chat with first: the smallest that can."""
    keys = [model.pk for model in found]
    talkers = ServedModel.objects.filter(pk__in=keys, file__kind__in=_TALKERS)
    rows = talkers if talkers.exists() else ServedModel.objects.filter(pk__in=keys)
    return rows.filter(file__state=GgufFile.State.OK).order_by("file__size").first()


def _downloads() -> list[Download]:
    over = (Download.Status.COMPLETED, Download.Status.CANCELLED)
    return list(Download.objects.exclude(status__in=over)[:5])


def folder_rows() -> list[ModelFolder]:
    """Tracked folders, with how many `files` and `models` each has."""
    present = ~Q(files__state=GgufFile.State.VANISHED)
    return list(
        ModelFolder.objects.annotate(
            file_count=Count("files", filter=present, distinct=True),
            model_count=Count("files__served_as", filter=present, distinct=True),
        )
    )


# ---- Its forms ---------------------------------------------------------------------------------


def _to_folders() -> HttpResponse:
    return redirect(f"{reverse('ui-setup')}#folders")


@needs(Scope.MANAGE)
@acts("ui-setup")
def scan(request: HttpRequest) -> HttpResponse:
    """Scan all folders."""
    scan_runs.request()
    return _to_folders()


@needs(Scope.MANAGE)
@acts("ui-setup")
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
            return _to_folders()
    return _page(request, form, status=422)


@needs(Scope.MANAGE)
@acts("ui-setup")
def remove_folder(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a folder go; its files stay on the disk."""
    folder = get_object_or_404(ModelFolder, pk=pk)
    folders.remove(folder)
    messages.success(request, _("%(folder)s is no longer looked at.") % {"folder": folder})
    return _to_folders()


@needs(Scope.MANAGE)
@acts("ui-setup")
def tune(request: HttpRequest) -> HttpResponse:
    """Take an aim over for all models, and scan."""
    chosen = {aim.key: aim for aim in aims(hardware.current())}.get(request.POST.get("aim", ""))
    if chosen is None:
        messages.error(request, _("Choose one of the ways to tune."))
        return redirect("ui-setup")
    try:
        setting_up.regenerate(chosen.options())
    except setting_up.NothingToDo as error:
        messages.error(request, str(error))
    else:
        text = _("%(name)s: models are set up for %(count)s tokens.")
        messages.success(request, text % {"name": chosen.name, "count": grouped(chosen.context)})
    return redirect(f"{reverse('ui-setup')}#tuning")


@needs(Scope.MANAGE)
@acts("ui-setup")
def fetch(request: HttpRequest) -> HttpResponse:
    """Download a suggested model, or the starter model."""
    wanted = request.POST.get("repository", "")
    if wanted == STARTER:
        return _fetch_starter(request)
    found = next((one for one in suggestions.KNOWN if one.repository == wanted), None)
    if found is None:
        messages.error(request, _("That model is not suggested any more."))
        return redirect("ui-setup")
    try:
        orders.place(order_for(found.repository).order(found.repository))
    except (NothingFits, orders.BadOrder) as error:
        messages.error(request, str(error))
    except Trouble as trouble:
        messages.error(request, trouble.message)
    else:
        messages.success(request, _("%(name)s is on its way.") % {"name": found.title})
    return redirect(f"{reverse('ui-setup')}#get")


def _fetch_starter(request: HttpRequest) -> HttpResponse:
    try:
        starter_download.place()
    except orders.BadOrder as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("%(name)s is on its way.") % {"name": starter.NAME})
    return redirect(f"{reverse('ui-setup')}#get")
