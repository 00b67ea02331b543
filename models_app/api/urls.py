from __future__ import annotations

from django.urls import URLPattern, path

from models_app.api import plans, system

# Ids may hold slashes, so they are matched as paths. A trailing slash is taken off before.
urlpatterns: list[URLPattern] = [
    path("system/specs", system.specs),
    path("system/detection", system.detect),
    path("models/<path:name>/plan", plans.plan),
]
