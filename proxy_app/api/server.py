"""REST: restart the engines, or the server itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from django.conf import settings
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

CHECK_LIMIT_SECONDS = 60

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
    """POST /api/server/restart/hard: run the server anew in the same process, on the same port.

    Requests in flight are finished, new ones wait, loaded models stay loaded.
    """

    @described(
        "restart_hard",
        "Run the server anew; loaded models stay loaded",
        tag="server",
        answers=answer(
            "RestartingHard", message=serializers.CharField(), status=serializers.CharField()
        ),
        errors=(500, 503),
    )
    def post(self, request: Request) -> Response:
        SERVING.check_can_restart()
        _check_would_start()
        SERVING.restart_server()
        return Response(
            {
                "message": "Hard restart initiated - spawning new process",
                "status": "restarting",
            }
        )


def _check_would_start() -> None:
    """Raises ApiError when the program on the disk would not come up: better to run on then."""
    program = str(Path(settings.BASE_DIR) / "manage.py")
    try:
        checked = subprocess.run(
            [sys.executable, program, "check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHECK_LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _would_not_start(str(error)) from error
    if checked.returncode:
        raise _would_not_start(checked.stderr[-2000:])


def _would_not_start(details: str) -> ApiError:
    text = "The server would not start again, so it goes on as it is. Correct what is wrong first."
    return ApiError(text, details=details, status=500, code="WOULD_NOT_START")
