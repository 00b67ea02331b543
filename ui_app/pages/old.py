"""Addresses of the first implementation's pages, each led to the page that took its place."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from models_app.access import needs
from models_app.rights import Scope
from ui_app import navigation

MOVED: Final = {
    "models": "ui-models",
    "activity": "ui-activity",
    "downloader": "ui-downloads",
    "config": "ui-configuration",
    "setup": "ui-setup",
    "logs": "ui-logs",
    "demo": "ui-components",
}
"""Old paths below /ui/, without and with a slash at the end."""


@needs(Scope.INFERENCE)
def moved(request: HttpRequest, route: str) -> HttpResponse:
    """To the new page; to the start while there is none yet."""
    return redirect(navigation.address(route) or "ui-home")


PATHS: Final[list[URLPattern]] = [
    path(f"{old}{end}", moved, {"route": route})
    for old, route in MOVED.items()
    for end in ("", "/")
]
