"""REST: which models there are, and loading and unloading them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import dry_runs
from models_app.access import keeps_within_reach, needs
from models_app.api.errors import ApiError
from models_app.api.schema import DRY_RUN, answer, described
from models_app.rights import Scope
from proxy_app import orders, queues, reach
from proxy_app.api.shapes import LoadPlanAnswer, ModelRow, QueueAnswer
from proxy_app.errors import GatewayError, ModelNotFound, api_body
from proxy_app.keys import Caller
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

_FORCE = OpenApiParameter(
    "force", OpenApiTypes.STR, enum=["0", "1"], description="1: cut off requests in flight."
)
_STATE = answer(
    "ModelState",
    msg=serializers.CharField(),
    model=serializers.CharField(),
    state=serializers.CharField(),
)
_FAILURES = (400, 403, 404, 429, 502, 503)


class RunnerView(APIView):
    """A view over the runner; its errors come out in the shape of the API."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, GatewayError):
            headers = {name.decode(): value.decode() for name, value in exc.headers}
            return Response(api_body(exc), status=exc.status, headers=headers)
        return super().handle_exception(exc)


@needs(Scope.INFERENCE)
class Models(RunnerView):
    """GET /api/models: every served model, its state, memory, queue and requests."""

    @described(
        "list_models",
        "Every model: state, memory planned and measured, queue, requests in flight",
        tag="models",
        answers=answer("Models", models=ModelRow(many=True)),
        errors=(503,),
    )
    def get(self, request: Request) -> Response:
        caller = caller_of(request)

        async def look(runner: Runner) -> list[dict[str, Any]]:
            return reach.allowed(caller, runner.lineup, queues.models(runner))

        return Response({"models": SERVING.call(look)})


@needs(Scope.MANAGE)
@keeps_within_reach
class Queue(RunnerView):
    """GET /api/queue: who waits for which model, in turn, and for how long."""

    @described(
        "queue",
        "Who waits for which model, in turn, and for how long",
        tag="models",
        answers=QueueAnswer(),
        errors=(503,),
    )
    def get(self, request: Request) -> Response:
        caller = caller_of(request)

        async def look(runner: Runner) -> dict[str, Any]:
            return reach.queue_within(caller, runner.lineup, queues.queue(runner))

        return Response(SERVING.call(look))


@needs(Scope.MANAGE)
@keeps_within_reach
class UnloadAll(RunnerView):
    """POST /api/models/unload: unload every model, or all that the caller looks after."""

    @described(
        "unload_all",
        "Unload every model",
        about="Who is limited to some models unloads those.",
        tag="models",
        answers=answer("UnloadedAll", msg=serializers.CharField()),
        errors=(400, 503),
        query=[_FORCE],
    )
    def post(self, request: Request) -> Response:
        caller, force = caller_of(request), truth(request, "force")
        SERVING.call(lambda runner: orders.unload_all(runner, caller, force=force))
        return Response({"msg": "ok"})


@needs(Scope.MANAGE)
@keeps_within_reach
class LoadModel(RunnerView):
    """POST /api/models/<id>/load: load a model and answer when it is ready.

    GET, or `dry_run`, only tells what that would do.
    """

    @described(
        "plan_load",
        "What loading a model would do: does it fit, who would go, how long does it take",
        tag="models",
        answers=LoadPlanAnswer(),
        errors=(403, 404, 503),
    )
    def get(self, request: Request, name: str) -> Response:
        caller = caller_of(request)
        model = managed(caller, name)

        async def look(runner: Runner) -> dict[str, Any]:
            return reach.plan_within(caller, runner.lineup, queues.load_plan(runner, model))

        return Response(SERVING.call(look))

    @described(
        "load_model",
        "Load a model",
        tag="models",
        answers=_STATE,
        errors=_FAILURES,
        query=[DRY_RUN],
        about="Answers when the model is ready. With `dry_run` it answers as GET does.",
    )
    def post(self, request: Request, name: str) -> Response:
        if truth(request, dry_runs.NAME):
            dry_runs.mark(request._request)
            return self.get(request, name)
        model = managed(caller_of(request), name)

        async def load(runner: Runner) -> None:
            runner.load(model)
            await runner.wait_until_settled(model)

        SERVING.call(load)
        return Response({"msg": "ok", "model": model, "state": "ready"})


@needs(Scope.MANAGE)
@keeps_within_reach
class UnloadModel(RunnerView):
    """POST /api/models/<id>/unload: unload one model once its requests are done."""

    @described(
        "unload_model",
        "Unload a model",
        tag="models",
        answers=_STATE,
        errors=_FAILURES,
        query=[_FORCE],
    )
    def post(self, request: Request, name: str) -> Response:
        model = managed(caller_of(request), name)
        SERVING.call(lambda runner: runner.unload(model, force=truth(request, "force")))
        return Response({"msg": "ok", "model": model, "state": "stopped"})


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller: Caller = request.caller  # type: ignore[attr-defined]
    return caller


def managed(caller: Caller, name: str) -> str:
    """The id of the model that answers to a name, if the caller looks after it.

    Raises ModelNotFound, which names nothing out of reach, or ModelNotAllowed.
    """
    try:
        model = SERVING.find(name).entry.model_id
    except ModelNotFound as error:
        raise reach.only_within(error, caller, SERVING.lineup) from None
    reach.check_managed(caller, SERVING.lineup, model, name)
    return model


def truth(request: Request, name: str) -> bool:
    """A switch of the query. Raises ApiError."""
    value = request.query_params.get(name, "").lower()
    if value in ("", "0", "false"):
        return False
    if value in ("1", "true"):
        return True
    raise ApiError(f"{name} must be 0 or 1, not {value!r}.", details="Query parameter")
