"""What a browser is shown when there is no page to show: refused, not found, failed, not now."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from models_app.database_away import RETRY_SECONDS, is_away


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Somebody may not do this."""
    return render(request, "ui/errors/403.html", {"reason": str(exception)}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """There is nothing at this address."""
    return render(request, "ui/errors/404.html", {"path": request.path}, status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """The server made a mistake. Rendered without the frame, which may be what failed.

    While the database is away, that is no mistake: the page is to be tried again.
    """
    if is_away(sys.exc_info()[1]):
        response = render(None, "ui/errors/503.html", status=503)
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    return render(None, "ui/errors/500.html", status=500)
