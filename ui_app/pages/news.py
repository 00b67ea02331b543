"""What open pages are told, as events."""

from __future__ import annotations

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django_eventstream.views import events

from models_app.access import needs, rights_of
from models_app.rights import Scope
from proxy_app import ui_events


@needs(Scope.INFERENCE)
def news(request: HttpRequest) -> HttpResponseBase:
    """/ui/events/: the channel of whoever asks."""
    # django-eventstream takes orders from the query, and fails at those it cannot read.
    request.GET = QueryDict()
    answer: HttpResponseBase = events(request, channels=[ui_events.channel_for(rights_of(request))])
    return answer
