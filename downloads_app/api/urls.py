from __future__ import annotations

from django.urls import URLPattern, path

from downloads_app.api import downloads, engines, hub

# Ids may hold slashes, so they are matched as paths. A trailing slash is taken off before.
urlpatterns: list[URLPattern] = [
    path("models/download", downloads.start),
    path("models/download/cancel", downloads.cancel),
    path("models/download-destinations", downloads.destinations),
    path("models/downloads", downloads.everything),
    path("models/downloads/reorder", downloads.reorder),
    path("models/downloads/limits", downloads.limits),
    path("models/downloads/<path:key>/pause", downloads.pause),
    path("models/downloads/<path:key>/resume", downloads.resume),
    path("models/downloads/<path:key>/reuse", downloads.reuse),
    path("models/downloads/<path:key>", downloads.one),
    path("binary/status", engines.binary_status),
    path("binary/update", engines.update),
    path("binary/update/force", engines.force_update),
    path("engines", engines.everything),
    path("engines/install", engines.install),
    path("engines/activate", engines.activate),
    path("engines/rollback", engines.rollback),
    path("engines/prune", engines.prune),
    path("engines/<int:pk>", engines.remove),
    path("hub/search", hub.search),
    path("hub/models/<path:repository>", hub.browse),
]
