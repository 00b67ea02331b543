"""REST: the audit log, to read."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.access import needs
from models_app.api.schema import answer, described
from models_app.models import AuditEntry
from models_app.rights import Scope
from proxy_app.api.queries import LIMIT, LONGEST_PAGE, SINCE, UNTIL, iso, moment, number

_WHO = OpenApiParameter("who", OpenApiTypes.STR, description="A person's or key's name.")
_KIND = OpenApiParameter(
    "kind", OpenApiTypes.STR, description="Such as settings, keys, people, models or login."
)
_BEFORE = OpenApiParameter(
    "cursor", OpenApiTypes.INT, description="`next` of an earlier answer: what follows on it."
)


class Act(serializers.Serializer[Any]):
    """One administrative act. Secrets are never in it."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    who = serializers.CharField()
    person = serializers.IntegerField(allow_null=True)
    key = serializers.IntegerField(allow_null=True)
    address = serializers.CharField()
    kind = serializers.CharField()
    what = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


@needs(Scope.ADMIN)
class Audit(APIView):
    """GET /api/audit: who did what, the newest first."""

    @described(
        "audit",
        "Who did what on this server, the newest first",
        tag="access",
        answers=answer(
            "AuditLog",
            acts=Act(many=True),
            next=serializers.IntegerField(allow_null=True, help_text="`cursor` for what follows."),
        ),
        errors=(400,),
        query=[_WHO, _KIND, SINCE, UNTIL, LIMIT, _BEFORE],
    )
    def get(self, request: Request) -> Response:
        limit = number(request, "limit", 100, 1, LONGEST_PAGE)
        rows = list(AuditEntry.objects.filter(_chosen(request)).order_by("-pk")[: limit + 1])
        more, rows = len(rows) > limit, rows[:limit]
        return Response(
            {"acts": [_shown(row) for row in rows], "next": rows[-1].pk if more else None}
        )


def _chosen(request: Request) -> Q:
    chosen = Q()
    for name in ("who", "kind"):
        if value := request.query_params.get(name, ""):
            chosen &= Q(**{name: value})
    if (since := moment(request, "since")) is not None:
        chosen &= Q(at__gte=since)
    if (until := moment(request, "until")) is not None:
        chosen &= Q(at__lt=until)
    if cursor := number(request, "cursor", 0, 1, 10**9 - 1):
        chosen &= Q(pk__lt=cursor)
    return chosen


def _shown(row: AuditEntry) -> dict[str, Any]:
    return {
        "id": row.pk,
        "at": iso(row.at),
        "who": row.who,
        "person": row.person_id or None,
        "key": row.key_id or None,
        "address": row.address,
        "kind": row.kind,
        "what": row.what,
        "before": row.before,
        "after": row.after,
    }
