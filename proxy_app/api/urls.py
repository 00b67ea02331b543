from __future__ import annotations

from django.urls import re_path

from proxy_app.api.audit import Audit
from proxy_app.api.logs import DownloadLog, Logs
from proxy_app.api.models import LoadModel, Models, Queue, UnloadAll, UnloadModel
from proxy_app.api.requests import CancelRequest, LiveRequests, LiveRequestView, Requests
from proxy_app.api.server import HardRestart, Restart
from proxy_app.api.usage import Metrics, Usage

# Ids may hold slashes, so the id is whatever stands before the verb.
urlpatterns = [
    re_path(r"^server/restart/?$", Restart.as_view()),
    re_path(r"^server/restart/hard/?$", HardRestart.as_view()),
    re_path(r"^queue/?$", Queue.as_view()),
    re_path(r"^metrics/?$", Metrics.as_view()),
    re_path(r"^audit/?$", Audit.as_view()),
    re_path(r"^usage/?$", Usage.as_view()),
    re_path(r"^requests/?$", Requests.as_view()),
    re_path(r"^requests/live/?$", LiveRequests.as_view()),
    re_path(r"^requests/(?:live/)?(?P<number>[0-9]{1,15})/cancel/?$", CancelRequest.as_view()),
    re_path(r"^requests/live/(?P<number>[0-9]{1,15})/?$", LiveRequestView.as_view()),
    re_path(r"^logs/?$", Logs.as_view()),
    re_path(r"^logs/(?P<name>.+)/download/?$", DownloadLog.as_view()),
    re_path(r"^models/?$", Models.as_view()),
    re_path(r"^models/unload/?$", UnloadAll.as_view()),
    re_path(r"^models/(?P<name>.+)/load/?$", LoadModel.as_view()),
    re_path(r"^models/(?P<name>.+)/unload/?$", UnloadModel.as_view()),
]
