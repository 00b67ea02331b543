from __future__ import annotations

from django.urls import URLPattern, re_path

from models_app.api import plans, system

urlpatterns: list[URLPattern] = [
    re_path(r"^system/specs/?$", system.specs),
    re_path(r"^system/detection/?$", system.detect),
    # Ids may hold slashes, so the id is whatever stands before the verb.
    re_path(r"^models/(?P<name>.+)/plan/?$", plans.plan),
]
