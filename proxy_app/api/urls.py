from __future__ import annotations

from django.urls import re_path

from proxy_app.api.models import LoadModel, UnloadAll, UnloadModel

# Ids may hold slashes, so the id is whatever stands before the verb.
urlpatterns = [
    re_path(r"^models/unload/?$", UnloadAll.as_view()),
    re_path(r"^models/(?P<name>.+)/load/?$", LoadModel.as_view()),
    re_path(r"^models/(?P<name>.+)/unload/?$", UnloadModel.as_view()),
]
