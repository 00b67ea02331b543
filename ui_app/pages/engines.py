"""The engines page: builds of llama-server, which is used, and changing that.

Curators see it; what runs on this machine is for administrators to change, as over the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from downloads_app.api.engine_shapes import BACKENDS
from downloads_app.engines import current, orders, releases
from models_app import engine_build, engine_installs, hardware
from models_app.access import needs
from models_app.engine_build import EngineProblem
from models_app.engine_help import EngineDevice
from models_app.engine_installs import NotPossible
from models_app.models import EngineBuild, EngineInstall
from models_app.rights import Scope
from ui_app import engine_cards
from ui_app.posting import acts

Source = EngineInstall.Source

OFFERED: Final = 15
"""Releases to choose from."""


class InstallForm(forms.Form):
    """What to install, from one of the sources."""

    source = forms.ChoiceField(choices=Source.choices)
    version = forms.CharField(required=False, max_length=64)
    backend = forms.ChoiceField(required=False, choices=[("", ""), *((b, b) for b in BACKENDS)])
    path = forms.CharField(required=False, max_length=4096)
    use = forms.BooleanField(required=False)

    def order(self) -> orders.Order:
        values = self.cleaned_data
        return orders.Order(
            source=values["source"],
            origin=values["path"].strip(),
            version=values["version"].strip(),
            backend=values["backend"],
            activate=values["use"],
        )


# ---- The page ----------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@require_safe
def engines(request: HttpRequest) -> HttpResponse:
    """The build in use, the others, those on their way, and how to get another."""
    cards = engine_cards.cards()
    context = {
        **_in_use(),
        **_update(releases.known()),
        "cards": cards,
        "is_busy": any(card.is_busy for card in cards),
        "back_to": _back_to(cards),
        "backends": BACKENDS,
        "wheel": f"{engine_build.WHEEL} {engine_build.WHEEL_VERSION}",
        "wheel_version": engine_build.WHEEL_VERSION,
    }
    response = render(request, "ui/engines/page.html", context)
    response["Cache-Control"] = "no-store"
    return response


@needs(Scope.MANAGE)
@require_safe
def newest(request: HttpRequest) -> HttpResponse:
    """Whether there is an update, asked of the list of releases if what is known of it is old."""
    return render(request, "ui/engines/_update.html", _update(releases.listing()))


def _in_use() -> dict[str, Any]:
    try:
        now = current.current()
    except EngineProblem as error:
        return {"now": None, "problem": str(error), "devices": ()}
    if now is None:
        return {"now": None, "problem": engine_build.NO_ENGINE_HELP, "devices": ()}
    build = EngineBuild.objects.filter(path=str(now.located.path)).first()
    machine = hardware.stored()
    devices = [EngineDevice.from_dict(device) for device in build.devices] if build else []
    return {
        "now": now,
        "problem": "",
        "devices": devices,
        "processor": machine.cpu.name if machine else "",
    }


def _update(known: releases.Listing) -> dict[str, Any]:
    latest = current.newest_of(known)
    try:
        now = current.current()
    except EngineProblem:
        now = None
    version = now.version if now else ""
    return {
        "latest": latest,
        "is_newest": bool(latest.version) and current.is_up_to_date(version, latest.version),
        "list_problem": known.problem,
        "was_asked": bool(known.releases or known.problem),
        "releases": [one.tag for one in known.releases if one.assets][:OFFERED],
    }


def _back_to(cards: list[engine_cards.Card]) -> str:
    """What going back leads to; "" when there is nothing to go back from."""
    if not any(card.is_active for card in cards):
        return ""
    before = next((card.name for card in cards if card.is_previous), "")
    if before:
        return before
    try:
        default = engine_build.locate()
    except EngineProblem:
        return ""
    return _("the llama-server from %(source)s") % {"source": default.source} if default else ""


# ---- Its forms ---------------------------------------------------------------------------------


@needs(Scope.ADMIN)
@acts("ui-engines")
def act(request: HttpRequest) -> HttpResponse:
    """Do what the pressed button says with the build it names."""
    for verb, do in _VERBS.items():
        if pk := request.POST.get(verb):
            row = EngineInstall.objects.filter(pk=int(pk)).first() if pk.isdecimal() else None
            if row is None:
                messages.error(request, _("That build is no longer there."))
                break
            try:
                messages.success(request, do(row))
            except (NotPossible, OSError) as error:
                messages.error(request, str(error))
            return redirect(f"{reverse('ui-engines')}#engine-{row.pk}")
    return redirect("ui-engines")


def _use(row: EngineInstall) -> str:
    engine_installs.ask_to_activate(row)
    return _("%(build)s is tried now, and used once it has passed.") % {"build": row}


def _remove(row: EngineInstall) -> str:
    name = str(row)
    orders.remove(row)
    return _("%(build)s is removed.") % {"build": name}


_VERBS: Final[Mapping[str, Callable[[EngineInstall], str]]] = {"use": _use, "remove": _remove}


@needs(Scope.ADMIN)
@acts("ui-engines")
def roll_back(request: HttpRequest) -> HttpResponse:
    """Use again what was used before."""
    try:
        row = engine_installs.ask_to_go_back()
    except NotPossible as error:
        messages.error(request, str(error))
    else:
        name = row or _("The llama-server of before")
        text = _("%(build)s is tried now, and used once it has passed.") if row else None
        messages.success(request, (text or _("%(build)s is used again.")) % {"build": name})
    return redirect("ui-engines")


@needs(Scope.ADMIN)
@acts("ui-engines")
def prune(request: HttpRequest) -> HttpResponse:
    """Remove what nothing needs."""
    try:
        gone = orders.prune()
    except OSError as error:
        messages.error(request, str(error))
    else:
        names = ", ".join(str(row) for row in gone)
        text = _("Removed: %(builds)s.") % {"builds": names}
        messages.success(request, text if gone else _("Every build is needed; none was removed."))
    return redirect("ui-engines")


@needs(Scope.ADMIN)
@acts("ui-engines")
def check(request: HttpRequest) -> HttpResponse:
    """Ask for the list of releases now."""
    latest = current.newest(fresh=True)
    if latest.reason:
        messages.error(request, latest.reason)
    else:
        text = _("The newest build for this machine is %(version)s.") % {"version": latest.version}
        messages.success(request, text)
    return redirect("ui-engines")


@needs(Scope.ADMIN)
@acts("ui-engines")
def install(request: HttpRequest) -> HttpResponse:
    """Have a build installed beside the others."""
    form = InstallForm(request.POST)
    if not form.is_valid():
        messages.error(
            request, " ".join(str(text) for texts in form.errors.values() for text in texts)
        )
        return redirect(f"{reverse('ui-engines')}#install")
    order = form.order()
    try:
        if order.activate:
            engine_installs.check_may_change()
        row = orders.place(order)
    except NotPossible as error:
        messages.error(request, str(error))
        return redirect(f"{reverse('ui-engines')}#install")
    return redirect(f"{reverse('ui-engines')}#engine-{row.pk}")
