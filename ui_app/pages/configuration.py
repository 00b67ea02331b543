"""Configuration: the settings as forms, with what a change would restart before it is saved.

Curators see them; what is decided here is for administrators, as over the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache

from models_app import changing, dry_runs, hand_edits
from models_app.access import needs, rights_of
from models_app.effects import Effect
from models_app.models import Revision
from models_app.rights import Scope
from ui_app.settings_form import Change, SettingsPageForm

CAUSE: Final = "settings changed on their page"

TABS: Final = (
    ("ui-configuration", gettext_lazy("Settings")),
    ("ui-configuration-text", gettext_lazy("config.yaml")),
    ("ui-configuration-history", gettext_lazy("History")),
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would be changed, and what that means for models."""

    changes: list[Change]
    effect: Effect


def answer(
    request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    """One of the three pages, with what they have in common."""
    shared = {
        "tabs": TABS,
        "problem_texts": hand_edits.problems(),
        "waiting_edits": list(hand_edits.waiting()),
        "Kind": Revision.Kind,
    }
    return render(request, f"ui/configuration/{template}", {**shared, **context}, status=status)


@needs(Scope.MANAGE)
@method_decorator(never_cache, name="dispatch")
class Settings(View):
    """/ui/configuration/"""

    def get(self, request: HttpRequest) -> HttpResponse:
        may_change = rights_of(request).may(Scope.ADMIN)
        return _page(request, SettingsPageForm(may_change=may_change))

    @needs(Scope.ADMIN)
    def post(self, request: HttpRequest) -> HttpResponse:
        """Save what was changed; with `dry_run` in the address, tell what that would do."""
        dry_run = dry_runs.asked_for(request)
        form = SettingsPageForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=422)
        changes = form.changes()
        if not changes:
            return redirect("ui-configuration")
        done = changing.change(form.write, CAUSE, dry_run=dry_run)
        if dry_run:
            return _page(request, form, Outlook(changes, done.effect))
        messages.success(request, _("Saved. %(effect)s") % {"effect": done.effect})
        return redirect("ui-configuration")


def _page(
    request: HttpRequest,
    form: SettingsPageForm,
    outlook: Outlook | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"form": form, "groups": list(form.groups()), "outlook": outlook}
    return answer(request, "settings.html", context, status)
