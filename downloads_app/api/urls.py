from __future__ import annotations

from django.urls import URLPattern, re_path

from downloads_app.api import downloads, hub

urlpatterns: list[URLPattern] = [
    re_path(r"^models/download/?$", downloads.start),
    re_path(r"^models/download/cancel/?$", downloads.cancel),
    re_path(r"^models/download-destinations/?$", downloads.destinations),
    re_path(r"^models/downloads/?$", downloads.everything),
    re_path(r"^models/downloads/reorder/?$", downloads.reorder),
    re_path(r"^models/downloads/limits/?$", downloads.limits),
    # Ids may hold slashes, so the id is whatever stands before the verb.
    re_path(r"^models/downloads/(?P<key>.+)/pause/?$", downloads.pause),
    re_path(r"^models/downloads/(?P<key>.+)/resume/?$", downloads.resume),
    re_path(r"^models/downloads/(?P<key>.+)/reuse/?$", downloads.reuse),
    re_path(r"^models/downloads/(?P<key>.+?)/?$", downloads.one),
    re_path(r"^hub/search/?$", hub.search),
    re_path(r"^hub/models/(?P<repository>[^/]+/[^/]+)/?$", hub.browse),
]
