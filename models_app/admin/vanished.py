"""The page of files that are gone and of models that wait for one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from models_app import moved
from models_app.admin import display
from models_app.models import GgufFile


def page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """What is gone, since when, what waits for it, and what can be done."""
    if request.method == "POST":
        return _take_over(model_admin, request)
    rows = [
        {
            "pk": one.file.pk,
            "link": display.link(one.file, one.file.path),
            "since": display.ago(one.file.last_seen_at),
            "models": display.links(one.models),
            "twin": one.twin and display.link(one.twin, one.twin.path),
            "twin_pk": one.twin and one.twin.pk,
        }
        for one in moved.vanished()
    ]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Vanished files",
        "opts": model_admin.opts,
        "rows": rows,
        "waiting": [display.link(model) for model in moved.waiting()],
        "may_act": model_admin.has_act_permission(request),
    }
    return TemplateResponse(request, "admin/models_app/vanished.html", context)


def _take_over(model_admin: Any, request: HttpRequest) -> HttpResponse:
    if not model_admin.has_act_permission(request):
        raise PermissionDenied
    gone, _, twin = request.POST.get("take_over", "").partition(":")
    file = get_object_or_404(GgufFile, pk=_key(gone))
    now = get_object_or_404(GgufFile, pk=_key(twin))
    try:
        count = moved.take_over(file, now)
    except ValueError as error:
        model_admin.message_user(request, str(error), messages.ERROR)
    else:
        text = f"{now.path} is served in its place, as {count} models."
        model_admin.message_user(request, text, messages.SUCCESS)
    return redirect("admin:models_app_gguffile_vanished")


def _key(text: str) -> int:
    """A row's key; 0, which no row has, for anything else."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0
