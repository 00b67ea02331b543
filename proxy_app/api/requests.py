"""REST: requests that ended, those under way, and how to end one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.access import needs
from models_app.api.schema import answer, described
from models_app.rights import Rights, Scope
from proxy_app import freshness
from proxy_app.api.models import RunnerView
from proxy_app.api.queries import (
    KEY,
    LIMIT,
    LONGEST_PAGE,
    MODEL,
    PERSON,
    SINCE,
    UNTIL,
    filters,
    iso,
    key_names,
    number,
    wrong,
)
from proxy_app.api.usage_shapes import EndedRequest, LiveRequest
from proxy_app.errors import RequestNotFound
from proxy_app.models import UsageRow
from proxy_app.noting import note_ended
from proxy_app.records import CLIENT_LEFT, Record
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

_STATUS = OpenApiParameter(
    "status", OpenApiTypes.STR, description="Such as 200 or 4xx, or `failed`."
)
_PATH = OpenApiParameter("path", OpenApiTypes.STR, description="What the path begins with.")
_REQUEST_ID = OpenApiParameter(
    "requestId", OpenApiTypes.STR, description="What the answer's `X-Request-ID` said."
)
_CURSOR = OpenApiParameter(
    "cursor", OpenApiTypes.STR, description="`next` of an earlier answer: what follows on it."
)


@needs(Scope.INFERENCE)
class Requests(RunnerView):
    """GET /api/requests: requests that ended, the newest first, each with its timeline."""

    @described(
        "list_requests",
        "Requests that ended, the newest first, each with its timeline",
        tag="monitoring",
        answers=answer(
            "EndedRequests",
            requests=EndedRequest(many=True),
            next=serializers.CharField(allow_null=True, help_text="`cursor` for what follows."),
        ),
        errors=(400,),
        query=[MODEL, KEY, PERSON, _STATUS, _PATH, _REQUEST_ID, SINCE, UNTIL, LIMIT, _CURSOR],
    )
    def get(self, request: Request) -> Response:
        chosen = filters(request, "at") & _by_status(request) & _after(request)
        if path := request.query_params.get("path", ""):
            chosen &= Q(path__startswith=path)
        if request_id := request.query_params.get("requestId", ""):
            chosen &= Q(request_id=request_id)
        limit = number(request, "limit", 100, 1, LONGEST_PAGE)
        freshness.catch_up()
        rows = list(UsageRow.objects.filter(chosen)[: limit + 1])
        more, rows = len(rows) > limit, rows[:limit]
        names = key_names({row.key_id for row in rows})
        return Response(
            {
                "requests": [_ended(row, names) for row in rows],
                "next": _cursor(rows[-1]) if more else None,
            }
        )


@needs(Scope.INFERENCE)
class LiveRequests(RunnerView):
    """GET /api/requests/live: requests under way, the oldest first."""

    @described(
        "list_live_requests",
        "Requests under way, the oldest first",
        tag="monitoring",
        answers=answer("LiveRequests", requests=LiveRequest(many=True)),
        errors=(503,),
    )
    def get(self, request: Request) -> Response:
        async def look(runner: Runner) -> list[dict[str, Any]]:
            now = time.monotonic()
            live = SERVING.accounting.records.live.values()
            return [_live(record, now) for record in live if _is_own(request, record)]

        return Response({"requests": SERVING.call(look)})


@needs(Scope.INFERENCE)
class LiveRequestView(RunnerView):
    """DELETE /api/requests/live/<id>, and POST …/cancel for those who cannot: end a request.

    Whoever waits leaves the queue, a stream ends with an error event, others get an error.
    """

    @described(
        "cancel_request",
        "End a request that is under way",
        tag="monitoring",
        answers=answer(
            "CancelledRequest", msg=serializers.CharField(), id=serializers.IntegerField()
        ),
        errors=(404, 503),
    )
    def delete(self, request: Request, number: str) -> Response:
        return _cancel(request, int(number))


@needs(Scope.INFERENCE)
class CancelRequest(RunnerView):
    """POST /api/requests/<id>/cancel."""

    @described(
        "post_cancel_request",
        "End a request that is under way",
        tag="monitoring",
        answers=answer(
            "CancelledByPost", msg=serializers.CharField(), id=serializers.IntegerField()
        ),
        errors=(404, 503),
    )
    def post(self, request: Request, number: str) -> Response:
        return _cancel(request, int(number))


def _is_own(request: Request, record: Record) -> bool:
    """Whether whoever asks may see and end it: all who manages all models, others their own."""
    rights: Rights = request.rights  # type: ignore[attr-defined]
    if rights.manages_all:
        return True
    if rights.person_id:
        return record.person_id == rights.person_id
    return record.key_id > 0 and record.key_id == rights.key_id


def _cancel(request: Request, number: int) -> Response:
    rights: Rights = request.rights  # type: ignore[attr-defined]

    async def cancel(runner: Runner) -> bool:
        record = SERVING.accounting.records.live.get(number)
        # Of what others do it is not even said that it is under way.
        if record is None or not _is_own(request, record) or not record.take_back():
            raise RequestNotFound(number)
        return record.is_of(rights)

    if not SERVING.call(cancel):
        note_ended(request, number)
    return Response({"msg": "ok", "id": number})


def _by_status(request: Request) -> Q:
    value = request.query_params.get("status", "").lower()
    if not value:
        return Q()
    if value == "failed":
        return (Q(status__gte=400) | ~Q(error="")) & ~Q(status=CLIENT_LEFT)
    if len(value) == 3 and value[0] in "12345" and value[1:] == "xx":
        first = int(value[0]) * 100
        return Q(status__gte=first, status__lt=first + 100)
    if len(value) == 3 and value.isascii() and value.isdigit():
        return Q(status=int(value))
    raise wrong("status", f"must be like 200, 4xx or failed, not {value[:40]!r}.")


def _cursor(row: UsageRow) -> str:
    return f"{int(row.at.timestamp() * 1_000_000)}.{row.pk}"


def _after(request: Request) -> Q:
    value = request.query_params.get("cursor", "")
    if not value:
        return Q()
    at, _, key = value.partition(".")
    if not (at.isascii() and at.isdigit() and key.isascii() and key.isdigit() and len(value) < 36):
        raise wrong("cursor", "must be `next` of an earlier answer.")
    try:
        seconds, micro = divmod(int(at), 1_000_000)
        when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)
    except (ValueError, OverflowError, OSError):
        raise wrong("cursor", "must be `next` of an earlier answer.") from None
    return Q(at__lt=when) | Q(at=when, pk__lt=int(key))


def _ended(row: UsageRow, names: dict[int, str]) -> dict[str, Any]:
    return {
        "id": row.pk,
        "at": iso(row.at),
        "model": row.model,
        "path": row.path,
        "key": row.key_id or None,
        "keyName": names.get(row.key_id, ""),
        "status": row.status,
        "error": row.error,
        "streamed": row.streamed,
        "tokensIn": row.tokens_in,
        "tokensCached": row.tokens_cached,
        "tokensOut": row.tokens_out,
        "promptPerSecond": row.prompt_per_second,
        "tokensPerSecond": row.tokens_per_second,
        "timeline": row.timeline(),
        "engineSeconds": row.engine_seconds,
        "gpuSeconds": row.gpu_seconds,
        "requestId": row.request_id,
    }


def _live(record: Record, now: float) -> dict[str, Any]:
    waited = (now if record.granted is None else record.granted) - record.arrived
    return {
        "id": record.id,
        "at": iso(datetime.fromtimestamp(record.at, UTC)),
        "model": record.model,
        "askedFor": record.asked_for,
        "path": record.path,
        "key": record.key_id or None,
        "keyName": record.whose.name if record.whose else "",
        "client": record.client,
        "phase": record.phase,
        "status": record.status or None,
        "streamed": record.streamed,
        "seconds": round(now - record.arrived, 3),
        "queueSeconds": round(max(0.0, waited - record.loading), 3),
        "loadSeconds": round(record.loading, 3),
        "firstTokenSeconds": None
        if record.first is None
        else round(record.first - record.arrived, 3),
        "pieces": record.pieces,
        "bytes": record.size,
    }
