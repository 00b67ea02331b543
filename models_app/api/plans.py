"""How a model would be started, and why."""

from __future__ import annotations

from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api.errors import ApiError
from models_app.plans import PlanContext, describe, find_model, plan_for
from models_app.what_if import BadWish, read_wishes


@api_view(["GET"])
def plan(request: Request, name: str) -> Response:
    """The plan for a model; parameters in the query stand in for what is set."""
    model = find_model(name)
    if model is None:
        raise ApiError(f"There is no model {name}.", status=404, code="NOT_FOUND")
    if model.file is None:
        raise ApiError(
            f"{name} has no file to plan for.", status=409, code="NO_FILE", details=model.cmd
        )
    try:
        wishes = read_wishes(request.query_params.dict())
    except BadWish as error:
        raise ApiError(str(error)) from error
    context = PlanContext.load()
    body = describe(plan_for(model, context, wishes), context)
    if model.cmd.strip():
        body["reasons"].insert(
            0, {"topic": "command", "text": "A command set by hand is used instead of this one."}
        )
    return Response({"model": model.model_id, **body})
