"""What a browser is shown when there is no page to show: refused, not found, failed, not now."""

from __future__ import annotations

import sys
from typing import Final

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

RETRY_SECONDS: Final = 5
"""When a page is worth trying again that needs the database, which is away."""

_AWAY: Final = (OperationalError, InterfaceError)


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
    if isinstance(sys.exc_info()[1], _AWAY):
        response = render(None, "ui/errors/503.html", status=503)
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    return render(None, "ui/errors/500.html", status=500)
