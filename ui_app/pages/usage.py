"""Usage: one's own, and for those who look after models everybody's."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from models_app.access import needs
from models_app.rights import Scope
from ui_app import usage_sums, whose
from ui_app.pages.keys import answer
from ui_app.usage_sums import PERIODS, USUAL, Usage


@needs(Scope.INFERENCE)
@require_safe
@never_cache
def usage(request: HttpRequest) -> HttpResponse:
    """Tokens, requests and times of a while, by day and by who and what."""
    caller = whose.caller_of(request)
    period = request.GET.get("period", "")
    period = period if period in PERIODS else USUAL
    found = Usage.of(whose.requests(caller), period)
    since = usage_sums.begins(period)
    sees_all = whose.sees_all(caller)
    context = {
        "period": period,
        "periods": [(key, label) for key, (label, _days) in PERIODS.items()],
        "total": found.total(),
        "models": found.by_model(),
        "keys": found.by_key(),
        "people": found.by_person() if sees_all else [],
        "sees_all": sees_all,
        "chart_query": urlencode({"since": since.isoformat()}),
        "csv_query": urlencode({"by": "day", "format": "csv", "since": since.isoformat()}),
    }
    return answer(request, "usage.html", context)
