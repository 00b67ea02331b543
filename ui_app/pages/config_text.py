"""config.yaml on a page: read by curators, edited by administrators."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from models_app import catalog, dry_runs, revisions
from models_app.access import needs, rights_of
from models_app.config_yaml import ConfigError
from models_app.config_yaml import render as yaml_of
from models_app.rights import Scope
from ui_app import config_edit
from ui_app.config_edit import EditForm, Outlook, Verdict
from ui_app.pages.configuration import answer


@needs(Scope.MANAGE)
@method_decorator(never_cache, name="dispatch")
class Text(View):
    """/ui/configuration/text/"""

    def get(self, request: HttpRequest) -> HttpResponse:
        document = catalog.build()
        if not rights_of(request).may(Scope.ADMIN):
            return answer(request, "text.html", {"shown": revisions.masked_text(document, {})})
        text = yaml_of(document)
        initial = {"text": text, "base": revisions.digest_of(text.encode())}
        return _page(request, EditForm(initial=initial), text)

    @needs(Scope.ADMIN)
    def post(self, request: HttpRequest) -> HttpResponse:
        """Take the text in; with `dry_run` in the address, tell what that would do."""
        form = EditForm(request.POST)
        written = request.POST.get("text", "").replace("\r\n", "\n")
        if not form.is_valid():
            return _page(
                request, form, written, Verdict(" ".join(map(str, form.errors["text"]))), status=422
            )
        text, dry_run = form.cleaned_data["text"], dry_runs.asked_for(request)
        try:
            outlook = config_edit.take_in(text, form.cleaned_data["base"], dry_run=dry_run)
        except ConfigError as error:
            return _page(request, form, text, Verdict(error.message, error.line), status=422)
        if dry_run:
            return _page(request, form, text, config_edit.verdict(text), outlook)
        messages.success(request, _("Saved. %(effect)s") % {"effect": outlook.effect})
        return redirect("ui-configuration-text")


@needs(Scope.ADMIN)
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Whether a text can be read, while it is written."""
    dry_runs.mark(request)
    text = request.POST.get("text", "").replace("\r\n", "\n")
    found = config_edit.verdict(text)
    context = {"verdict": found, "excerpt": config_edit.excerpt(text, found.line)}
    return render(request, "ui/configuration/_verdict.html", context)


def _page(
    request: HttpRequest,
    form: EditForm,
    text: str,
    verdict: Verdict | None = None,
    outlook: Outlook | None = None,
    status: int = 200,
) -> HttpResponse:
    line = verdict.line if verdict else None
    context: dict[str, Any] = {
        "form": form,
        "numbers": config_edit.numbers(text, line),
        "verdict": verdict,
        "excerpt": config_edit.excerpt(text, line),
        "outlook": outlook,
    }
    return answer(request, "text.html", context, status)
