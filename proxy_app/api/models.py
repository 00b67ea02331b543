"""REST: load and unload models."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.api.errors import ApiError
from models_app.api.schema import answer, described
from proxy_app.errors import GatewayError, api_body
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
_FAILURES = (400, 404, 429, 502, 503)


class RunnerView(APIView):
    """A view over the runner; its errors come out in the shape of the API."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, GatewayError):
            return Response(api_body(exc), status=exc.status)
        return super().handle_exception(exc)


class UnloadAll(RunnerView):
    """POST /api/models/unload: unload every model."""

    @described(
        "unload_all",
        "Unload every model",
        tag="models",
        answers=answer("UnloadedAll", msg=serializers.CharField()),
        errors=(400, 503),
        query=[_FORCE],
    )
    def post(self, request: Request) -> Response:
        SERVING.call(lambda runner: runner.unload(force=truth(request, "force")))
        return Response({"msg": "ok"})


class LoadModel(RunnerView):
    """POST /api/models/<id>/load: load a model and answer when it is ready."""

    @described("load_model", "Load a model", tag="models", answers=_STATE, errors=_FAILURES)
    def post(self, request: Request, name: str) -> Response:
        model = SERVING.find(name).entry.model_id

        async def load(runner: Runner) -> None:
            runner.load(model)
            await runner.wait_until_settled(model)

        SERVING.call(load)
        return Response({"msg": "ok", "model": model, "state": "ready"})


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
        model = SERVING.find(name).entry.model_id
        SERVING.call(lambda runner: runner.unload(model, force=truth(request, "force")))
        return Response({"msg": "ok", "model": model, "state": "stopped"})


def truth(request: Request, name: str) -> bool:
    """A switch of the query. Raises ApiError."""
    value = request.query_params.get(name, "").lower()
    if value in ("", "0", "false"):
        return False
    if value in ("1", "true"):
        return True
    raise ApiError(f"{name} must be 0 or 1, not {value!r}.", details="Query parameter")
