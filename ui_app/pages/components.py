"""The page that shows every component of the design language, with its name and its use."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from models_app.access import needs
from models_app.rights import Scope
from ui_app import drawings


@needs(Scope.INFERENCE)
@require_http_methods(["GET", "HEAD", "POST"])
def components(request: HttpRequest) -> HttpResponse:
    """All components. Its one form answers with a message, to show one."""
    if request.method == "POST":
        messages.success(request, "This is what a message looks like.")
        return redirect("ui-components")
    return render(request, "ui/components.html", {"icons": drawings.names()})
