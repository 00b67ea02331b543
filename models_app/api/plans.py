"""How a model would be started, and why."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.access import keeps_within_reach, needs
from models_app.api.errors import ApiError, check_looked_after
from models_app.api.schema import described
from models_app.plans import PlanContext, describe, find_model, plan_for
from models_app.rights import Scope
from models_app.what_if import NAMES, BadWish, read_wishes


class DeviceUse(serializers.Serializer[Any]):
    """Bytes on one device; further keys tell what for."""

    device = serializers.CharField()
    room = serializers.IntegerField(help_text="What may be planned with.")
    total = serializers.IntegerField()
    measured = serializers.IntegerField(allow_null=True)


class Reason(serializers.Serializer[Any]):
    topic = serializers.CharField()
    text = serializers.CharField()


class PlanAnswer(serializers.Serializer[Any]):
    """How a model would be started. Sizes are in bytes."""

    model = serializers.CharField()
    fits = serializers.BooleanField()
    sure = serializers.BooleanField()
    contextPerRequest = serializers.IntegerField()
    command = serializers.CharField()
    memory = DeviceUse(many=True)
    totalBytes = serializers.IntegerField()
    predicted = serializers.IntegerField()
    measured = serializers.IntegerField(allow_null=True)
    error = serializers.FloatField(allow_null=True)
    measuredAt = serializers.DateTimeField(allow_null=True)
    loadSeconds = serializers.FloatField(allow_null=True)
    reasons = Reason(many=True)


@needs(Scope.MANAGE)
@keeps_within_reach
@described(
    "plan_model",
    "How a model would be started, and why",
    tag="models",
    answers=PlanAnswer,
    errors=(400, 403, 404, 409),
    query=[
        OpenApiParameter(name, OpenApiTypes.STR, description="Stands in for what is set.")
        for name in NAMES
    ],
)
@api_view(["GET"])
def plan(request: Request, name: str) -> Response:
    """The plan for a model; parameters in the query stand in for what is set."""
    model = find_model(name)
    if model is None:
        raise ApiError(f"There is no model {name}.", status=404, code="NOT_FOUND")
    check_looked_after(request, model, name)
    if model.file is None:
        raise ApiError(
            f"{name} has no file to plan for.", status=409, code="NO_FILE", details=model.cmd
        )
    try:
        wishes = read_wishes(request.query_params.dict())
    except BadWish as error:
        raise ApiError(str(error)) from error
    context = PlanContext.load().of(model)
    body = describe(plan_for(model, context, wishes), context)
    if model.cmd.strip():
        body["reasons"].insert(
            0, {"topic": "command", "text": "A command set by hand is used instead of this one."}
        )
    return Response({"model": model.model_id, **body})
