"""What a browser is shown when there is no page to show: refused, not found, failed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Somebody may not do this."""
    return render(request, "ui/errors/403.html", {"reason": str(exception)}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """There is nothing at this address."""
    return render(request, "ui/errors/404.html", {"path": request.path}, status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """The server made a mistake. Rendered without the frame, which may be what failed."""
    return render(None, "ui/errors/500.html", status=500)
