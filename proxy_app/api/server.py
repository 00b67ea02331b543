"""REST: restart the engines, or the server itself."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.access import needs
from models_app.api.errors import ApiError
from models_app.api.schema import answer, described
from models_app.rights import Scope
from proxy_app.api.models import RunnerView, truth
from proxy_app.serving import SERVING
from proxy_app.successor import AlreadyFollowed, NoSuccessor

_ONLY_CHANGED = OpenApiParameter(
    "only_changed",
    OpenApiTypes.STR,
    enum=["0", "1"],
    description="1: restart only models whose command changed.",
)


@needs(Scope.ADMIN)
class Restart(RunnerView):
    """POST /api/server/restart: read the configuration again and restart running models.

    Each restarts once its requests are done. A configuration that cannot be read changes nothing.
    """

    @described(
        "restart",
        "Reload the configuration and restart running models",
        tag="server",
        answers=answer(
            "Restarting",
            message=serializers.CharField(),
            status=serializers.CharField(),
            restarting=serializers.ListField(child=serializers.CharField()),
        ),
        errors=(400, 500, 503),
        query=[_ONLY_CHANGED],
    )
    def post(self, request: Request) -> Response:
        models = SERVING.restart_engines(only_changed=truth(request, "only_changed"))
        return Response(
            {
                "message": "Soft restart initiated - reloading config and restarting models",
                "status": "restarting",
                "restarting": list(models),
            }
        )


@needs(Scope.ADMIN)
class HardRestart(RunnerView):
    """POST /api/server/restart/hard: run the server anew on the same port.

    The next server comes up first. Requests in flight are finished, new ones wait a moment, loaded
    models stay loaded. While one restart is on its way, a second one is refused with 409.
    """

    @described(
        "restart_hard",
        "Run the server anew; loaded models stay loaded",
        tag="server",
        answers=answer(
            "RestartingHard", message=serializers.CharField(), status=serializers.CharField()
        ),
        errors=(409, 500, 503),
    )
    def post(self, request: Request) -> Response:
        try:
            SERVING.restart_server()
        except AlreadyFollowed as error:
            text = (
                "The server is starting anew already, so nothing more was begun. Ask again when "
                "that is done, if there is something newer to start with."
            )
            raise ApiError(text, status=409, code="ALREADY_RESTARTING") from error
        except NoSuccessor as error:
            text = (
                "The server would not start again, so it goes on as it is. Correct what is wrong."
            )
            raise ApiError(text, details=str(error), status=500, code="WOULD_NOT_START") from error
        return Response(
            {
                "message": "Hard restart initiated - spawning new process",
                "status": "restarting",
            }
        )
