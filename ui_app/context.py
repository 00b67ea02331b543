"""What every page of the web UI is given, besides what its view gives it."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.functional import SimpleLazyObject

from ui_app import navigation

MODULES: Final = (
    *("ago", "announce", "confirm", "connection", "copy", "events", "forms", "htmx", "live"),
    *("local_times", "menu", "refresh", "tabs", "texts", "theme_switch", "toast"),
)
"""What `frame.js` imports, and what that imports."""


def frame(request: HttpRequest) -> dict[str, Any]:
    """The navigation, worked out only by templates that show it, and where other pages are.

    The addresses are empty while there is no such page.
    """
    return {
        "modules": [static(f"ui/js/{name}.js") for name in MODULES],
        "navigation": SimpleLazyObject(lambda: navigation.groups(request)),
        "try_address": navigation.address("ui-playground"),
        "downloads_address": navigation.address("ui-downloads"),
        "queue_address": navigation.address("ui-queue"),
        "activity_address": navigation.address("ui-activity"),
    }
