"""The queue: who waits for which model, for how long, and what is in the way."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from models_app.access import needs
from models_app.rights import Scope
from ui_app import queue_view, whose


@needs(Scope.INFERENCE)
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """The page."""
    caller = whose.caller_of(request)
    context = {"whole": queue_view.look(caller), "sees_all": whose.sees_all(caller)}
    return render(request, "ui/queue/queue.html", context)
