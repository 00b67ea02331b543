"""REST: usage summed by hour or day, also for spreadsheets, and each model's figures."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Q, Sum
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.access import keeps_within_reach, needs
from models_app.api.schema import described
from models_app.rights import Scope
from proxy_app import freshness, reach
from proxy_app.api.models import RunnerView, caller_of
from proxy_app.api.queries import (
    KEY,
    MODEL,
    PERSON,
    SINCE,
    UNTIL,
    filters,
    iso,
    key_names,
    moment,
    person_names,
    wrong,
)
from proxy_app.api.sheets import cell
from proxy_app.api.usage_shapes import ModelMetrics, UsageAnswer
from proxy_app.models import UsageDay, UsageHour, UsageRow
from proxy_app.process import EngineState
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

MOST_ROWS: Final = 20_000
RATED_ROWS: Final = 100
"""Of so many of a model's newest requests the speed is told."""

_SUMS: Final = {
    "requests": "requests",
    "errors": "errors",
    "stopped": "stopped",
    "tokensIn": "tokens_in",
    "tokensCached": "tokens_cached",
    "tokensOut": "tokens_out",
    "totalMs": "total_ms",
    "engineSeconds": "engine_seconds",
    "gpuSeconds": "gpu_seconds",
}
_EACH: Final = ("start", "model", "key_id", "person_id")
_WAYS: Final = {
    "hour": (UsageHour, timedelta(hours=48), _EACH),
    "day": (UsageDay, timedelta(days=30), _EACH),
    "model": (UsageDay, timedelta(days=30), ("model",)),
    "key": (UsageDay, timedelta(days=30), ("key_id",)),
    "person": (UsageDay, timedelta(days=30), ("person_id",)),
}
"""The sums, how far back they are told when nothing is said, and what has a row of its own."""

_BY = OpenApiParameter("by", OpenApiTypes.STR, enum=list(_WAYS), description="Default: day.")
_FORMAT = OpenApiParameter(
    "format", OpenApiTypes.STR, enum=["json", "csv"], description="csv: rows for a spreadsheet."
)


@needs(Scope.INFERENCE)
class Usage(RunnerView):
    """GET /api/usage: sums per model, key and person, by hour or day, or by one of these alone."""

    @described(
        "usage",
        "Requests, tokens and times summed by hour, day (UTC), model, key or person",
        tag="monitoring",
        answers=UsageAnswer(),
        errors=(400,),
        query=[_BY, MODEL, KEY, PERSON, SINCE, UNTIL, _FORMAT],
    )
    def get(self, request: Request) -> HttpResponseBase:
        by = request.query_params.get("by", "day")
        form = request.query_params.get("format", "json")
        if by not in _WAYS:
            raise wrong("by", f"must be one of {', '.join(_WAYS)}, not {by[:40]!r}.")
        if form not in ("json", "csv"):
            raise wrong("format", f"must be json or csv, not {form[:40]!r}.")
        table, back, columns = _WAYS[by]
        since = moment(request, "since") or timezone.now() - back
        chosen = filters(request, "start") & Q(start__gte=since)
        freshness.catch_up()
        sums = table.objects.filter(chosen)  # type: ignore[attr-defined]
        added = {f"sum_{column}": Sum(column) for column in _SUMS.values()}
        # In SQL's words: one row for each, the newest or the busiest first.
        order = ("-start", "model") if "start" in columns else ("-sum_requests",)
        rows = list(
            sums.order_by().values(*columns).annotate(**added).order_by(*order)[: MOST_ROWS + 1]
        )
        keys = key_names({row["key_id"] for row in rows if "key_id" in row})
        persons = person_names({row["person_id"] for row in rows if "person_id" in row})
        told = [_row(row, keys, persons) for row in rows[:MOST_ROWS]]
        if form == "csv":
            return _csv(told, by)
        totals = sums.aggregate(**{name: Sum(column) for name, column in _SUMS.items()})
        return Response(
            {
                "by": by,
                "since": iso(since),
                "rows": told,
                "total": {name: value or 0 for name, value in totals.items()},
                "truncated": len(rows) > MOST_ROWS,
            }
        )


@needs(Scope.MANAGE)
@keeps_within_reach
class Metrics(RunnerView):
    """GET /api/metrics: the figures of each model that the caller looks after."""

    @described(
        "metrics",
        "Each model's requests, average time, speed, last use and memory",
        tag="monitoring",
        answers=ModelMetrics(many=True),
        errors=(503,),
    )
    def get(self, request: Request) -> Response:
        caller = caller_of(request)

        async def look(runner: Runner) -> dict[str, int]:
            return {
                status.model: sum((runner.measured_need(status.model) or {}).values())
                or sum(runner.lineup.policy.models[status.model].need.values())
                if status.state in (EngineState.READY, EngineState.STOPPING)
                else 0
                for status in runner.statuses()
                if reach.may_manage(caller, runner.lineup, status.model)
            }

        memory = SERVING.call(look)
        freshness.catch_up()
        sums = {
            row["model"]: row
            for row in UsageDay.objects.filter(model__in=list(memory))
            .values("model")
            .annotate(requests=Sum("requests"), total_ms=Sum("total_ms"))
            .order_by()
        }
        return Response([_metrics(model, held, sums.get(model)) for model, held in memory.items()])


def _metrics(model: str, memory: int, sums: Any) -> dict[str, Any]:
    count = sums["requests"] if sums else 0
    last = _last_activity(model) if count else None
    return {
        "modelId": model,
        "requestCount": count,
        "avgResponseTime": round(sums["total_ms"] / count, 1) if count else 0,
        "tokensPerSecond": _speed(model) if count else 0,
        "lastActivity": None if last is None else iso(last),
        "memoryUsage": memory,
    }


def _last_activity(model: str) -> datetime | None:
    newest: datetime | None = UsageRow.objects.filter(model=model).aggregate(at=Max("at"))["at"]
    return newest


def _speed(model: str) -> float:
    """Tokens a second over the newest requests that generated any: all tokens in all the time."""
    rows = UsageRow.objects.filter(
        model=model, tokens_out__gt=0, tokens_per_second__gt=0
    ).values_list("tokens_out", "tokens_per_second")[:RATED_ROWS]
    tokens = seconds = 0.0
    for count, speed in rows:
        assert count is not None and speed is not None
        tokens += count
        seconds += count / speed
    return round(tokens / seconds, 2) if seconds else 0.0


def _row(row: dict[str, Any], keys: dict[int, str], persons: dict[int, str]) -> dict[str, Any]:
    key, person = row.get("key_id") or None, row.get("person_id") or None
    return {
        "start": iso(row["start"]) if "start" in row else None,
        "model": row.get("model"),
        "key": key,
        "keyName": keys.get(key or 0, ""),
        "person": person,
        "personName": persons.get(person or 0, ""),
        **{name: row[f"sum_{column}"] for name, column in _SUMS.items()},
    }


def _csv(rows: list[dict[str, Any]], by: str) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-by-{by}.csv"'
    writer = csv.writer(response)
    columns = ("start", "model", "key", "keyName", "person", "personName", *_SUMS)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(cell(row[column]) for column in columns)
    return response
