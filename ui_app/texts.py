"""The page's language for its scripts."""

from __future__ import annotations

from typing import Final

from django.views.decorators.cache import cache_control
from django.views.i18n import JavaScriptCatalog

from models_app.access import Open, needs

TEXTS: Final = needs(Open.ANYBODY)(
    cache_control(max_age=600)(JavaScriptCatalog.as_view(packages=["ui_app"]))
)
