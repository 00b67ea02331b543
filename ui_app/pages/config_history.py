"""Revisions of the configuration: what changed, going back, and edits by hand that wait."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from models_app import changing, dry_runs, hand_edits, revisions
from models_app.access import needs, rights_of
from models_app.config_yaml import ConfigError
from models_app.effects import Effect
from models_app.models import Revision
from models_app.rights import Scope
from ui_app.pages.configuration import answer

PAGE_ROWS: Final = 25


@needs(Scope.MANAGE)
@require_safe
@never_cache
def history(request: HttpRequest) -> HttpResponse:
    """All revisions, the newest first."""
    rows = Revision.objects.defer("yaml", "choices")
    pages = Paginator(rows, PAGE_ROWS)
    page = pages.get_page(request.GET.get("page"))
    newest = revisions.newest()
    context = {"page": page, "newest": newest.pk if newest else None}
    return answer(request, "history.html", context)


@needs(Scope.MANAGE)
@method_decorator(never_cache, name="dispatch")
class OneRevision(View):
    """/ui/configuration/history/<pk>/"""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return _page(request, get_object_or_404(Revision, pk=pk))

    @needs(Scope.ADMIN)
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Go back to it; with `dry_run` in the address, tell what that would do. Or decide about
        an edit that waits."""
        revision = get_object_or_404(Revision, pk=pk)
        try:
            if dry_runs.asked_for(request):
                return _page(request, revision, _trial(revision))
            messages.success(request, _done(request, revision))
        except (revisions.CannotGoBack, hand_edits.NotWaiting, ConfigError) as error:
            messages.error(request, str(error))
        return redirect("ui-configuration-revision", pk)


def _trial(revision: Revision) -> Effect:
    """What going back would mean, or taking the edit in."""
    if revision.kind == Revision.Kind.WAITING:
        return changing.change(lambda: hand_edits.apply(revision), "", dry_run=True).effect
    return changing.change(lambda: revisions.rollback(revision), "", dry_run=True).effect


def _done(request: HttpRequest, revision: Revision) -> str:
    """Do what the pressed button says, and tell what came of it."""
    author = rights_of(request).name
    if "dismiss" in request.POST:
        hand_edits.dismiss(revision)
        return _("Dismissed: nothing was changed.")
    before = changing.begin(dry_run=True)
    if "apply" in request.POST:
        hand_edits.apply(revision, author)
        return _("Taken in. %(effect)s") % {"effect": changing.end(before)}
    done = revisions.rollback(revision, author)
    for warning in done.warnings:
        messages.warning(request, warning)
    if done.revision is None:
        return _("Nothing had to change: the configuration is what it was then.")
    return _("Gone back. %(effect)s") % {"effect": changing.end(before)}


def _page(request: HttpRequest, revision: Revision, trial: Effect | None = None) -> HttpResponse:
    newest = revisions.newest()
    context: dict[str, Any] = {
        "revision": revision,
        "difference": revisions.difference(revision),
        "is_newest": newest is not None and newest.pk == revision.pk,
        "trial": trial,
        "under": "ui-configuration-history",
    }
    return answer(request, "revision.html", context)
