"""Tells revisions of the configuration which page or REST call changed it, and who used it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

from claracore_site.rights import rights_of
from models_app.causes import told

_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


class ChangeAuthorMiddleware:
    """Stands behind the rights. Requests that only read are let through untouched."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in _SAFE:
            return self._get_response(request)
        with told(_cause(request), rights_of(request).name):
            return self._get_response(request)


def _cause(request: HttpRequest) -> str:
    """For example: admin, settings 1; PUT /api/config."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "admin" and len(parts) > 2:
        action = request.POST.get("action", "").replace("_", " ")
        what = " ".join(part for part in (parts[2], *parts[3:5], action) if part)
        return f"admin: {what}"
    if parts[0] == "ui":
        return f"page {request.path}"
    return f"{request.method} {request.path}"
