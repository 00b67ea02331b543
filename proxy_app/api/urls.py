from __future__ import annotations

from django.urls import re_path

from proxy_app.api.models import LoadModel, Models, Queue, UnloadAll, UnloadModel
from proxy_app.api.server import HardRestart, Restart

# Ids may hold slashes, so the id is whatever stands before the verb.
urlpatterns = [
    re_path(r"^server/restart/?$", Restart.as_view()),
    re_path(r"^server/restart/hard/?$", HardRestart.as_view()),
    re_path(r"^queue/?$", Queue.as_view()),
    re_path(r"^models/?$", Models.as_view()),
    re_path(r"^models/unload/?$", UnloadAll.as_view()),
    re_path(r"^models/(?P<name>.+)/load/?$", LoadModel.as_view()),
    re_path(r"^models/(?P<name>.+)/unload/?$", UnloadModel.as_view()),
]
