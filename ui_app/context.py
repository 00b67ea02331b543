"""What every page of the web UI is given, besides what its view gives it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from ui_app import navigation


def frame(request: HttpRequest) -> dict[str, Any]:
    """The navigation; worked out only by templates that show it."""
    return {"navigation": SimpleLazyObject(lambda: navigation.groups(request))}
