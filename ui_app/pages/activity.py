"""Activity: requests under way and ended, where their time went, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from models_app.access import needs
from models_app.rights import Scope
from proxy_app import freshness
from proxy_app.api.sheets import cell
from proxy_app.errors import GatewayError
from proxy_app.models import UsageDay, UsageHour, UsageRow
from proxy_app.noting import note_ended
from ui_app import activity, live_requests, whose

HOURLY: Final = timedelta(days=3)
"""Up to this long a time is charted by the hour, a longer one by the day."""

_COLUMNS: Final = (
    "at", "model", "path", "status", "error", "streamed", "tokens_in", "tokens_cached",
    "tokens_out", "prompt_per_second", "tokens_per_second", "queue_ms", "load_ms", "first_ms",
    "prompt_ms", "generation_ms", "total_ms", "engine_seconds", "gpu_seconds",
    "request_id",
)  # fmt: skip


@needs(Scope.INFERENCE)
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    """The page: under way, ended, and charts."""
    caller = whose.caller_of(request)
    filters = activity.Filters(request.GET.dict(), caller)
    freshness.catch_up()
    before = request.GET.get("before", "")
    rows, older = activity.page(filters.rows(), before)
    live = [] if before else live_requests.seen_by(caller)
    context = {
        "filters": filters,
        "live": live[: live_requests.MOST],
        "live_more": max(0, len(live) - live_requests.MOST),
        "told": activity.tell(rows),
        "phases": activity.PHASES.items(),
        "query": _query(request),
        "older": older,
        "is_first": not before,
        "sees_all": whose.sees_all(caller),
    }
    return render(request, "ui/activity/requests.html", context)


def _query(request: HttpRequest) -> str:
    """What the list is narrowed to, without its page, for links that go on with it."""
    query = request.GET.copy()
    query.pop("before", None)
    return query.urlencode()


@needs(Scope.INFERENCE)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that is known of one request."""
    seen = UsageRow.objects.filter(whose.requests(whose.caller_of(request)))
    [told] = activity.tell([get_object_or_404(seen, pk=pk)])
    return render(request, "ui/activity/request.html", {"told": told})


@needs(Scope.INFERENCE)
@require_POST
def end(request: HttpRequest) -> HttpResponse:
    """End the request under way that the pressed button names, and go back to where it was."""
    number = request.POST.get("request", "")
    try:
        told = int(number) if number.isdecimal() else -1
        if not live_requests.end(whose.caller_of(request), told):
            note_ended(request, told)
        messages.success(request, _("The request is ended; its client is told so."))
    except GatewayError as error:
        messages.error(request, error.message)
    return redirect("ui-queue" if request.POST.get("from") == "queue" else "ui-activity")


# ---- For charts and spreadsheets -----------------------------------------------------------------


@needs(Scope.INFERENCE)
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """Sums by the hour or the day as columns, for charts; times in seconds since 1970."""
    filters = activity.Filters(request.GET.dict(), whose.caller_of(request))
    since = filters.begins()
    hourly = since is not None and timezone.now() - since <= HOURLY
    table: Any = UsageHour if hourly else UsageDay
    freshness.catch_up()
    chosen = filters.sums("start")
    sums = (
        table.objects.filter(chosen)
        .order_by("start")
        .values("start")
        .annotate(
            **{
                f"sum_{name}": Sum(name)
                for name in ("requests", "errors", "tokens_in", "tokens_out", "total_ms")
            }
        )
    )
    step = 3600 if hourly else 86400
    return JsonResponse({"step": step, **_columns(list(sums), step, since)})


def _columns(sums: list[dict[str, Any]], step: int, since: datetime | None) -> dict[str, list[Any]]:
    """A value for every hour or day from `since`, else from the first that has one.

    None happened where there is no sum.
    """
    by_start = {int(one["start"].timestamp()): one for one in sums}
    if not by_start:
        return {"start": [], "requests": [], "tokensIn": [], "tokensOut": [], "seconds": []}
    last = int(timezone.now().timestamp()) // step * step
    first = int(since.timestamp()) // step * step if since else min(by_start)
    starts = range(first, max(last, max(by_start)) + 1, step)
    rows = [by_start.get(start, {}) for start in starts]
    return {
        "start": list(starts),
        "requests": [row.get("sum_requests", 0) for row in rows],
        "tokensIn": [row.get("sum_tokens_in", 0) for row in rows],
        "tokensOut": [row.get("sum_tokens_out", 0) for row in rows],
        "seconds": [
            round(row["sum_total_ms"] / row["sum_requests"] / 1000, 3) if row else None
            for row in rows
        ],
    }


@needs(Scope.INFERENCE)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """All requests that the filters leave, the newest first."""
    filters = activity.Filters(request.GET.dict(), whose.caller_of(request))
    freshness.catch_up()
    rows = UsageRow.objects.filter(filters.rows())
    keys = rows.order_by().values_list("key_id", flat=True).distinct()
    people = rows.order_by().values_list("person_id", flat=True).distinct()
    names = whose.Names(keys, people)
    response = HttpResponse(
        _lines(rows.iterator(chunk_size=1000), names), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = 'attachment; filename="requests.csv"'
    return response


class _Echo:
    """Gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _lines(rows: Iterator[UsageRow], names: whose.Names) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(("who", *_COLUMNS))
    for row in rows:
        who = names.of(row.key_id, row.person_id)
        cells = (getattr(row, column) for column in _COLUMNS)
        yield writer.writerow(cell(value) for value in (who, *cells))
