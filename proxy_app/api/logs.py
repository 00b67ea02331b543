"""REST: the engines' log files, to see which there are and to download one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.access import keeps_within_reach, needs
from models_app.api.errors import ApiError
from models_app.api.schema import answer, described
from models_app.rights import Scope
from proxy_app import reach
from proxy_app.api.models import RunnerView, caller_of, managed, truth
from proxy_app.api.queries import iso
from proxy_app.log_files import log_path
from proxy_app.serving import SERVING

_OLDER = OpenApiParameter(
    "older", OpenApiTypes.STR, enum=["0", "1"], description="1: the file before the present one."
)


class _LogFile(serializers.Serializer[Any]):
    model = serializers.CharField()
    bytes = serializers.IntegerField()
    olderBytes = serializers.IntegerField(help_text="Of the file before it; 0: there is none.")
    changedAt = serializers.DateTimeField()


@needs(Scope.MANAGE)
@keeps_within_reach
class Logs(RunnerView):
    """GET /api/logs: the log files of models' engines."""

    @described(
        "list_logs",
        "The log files of models' engines",
        tag="monitoring",
        answers=answer("LogFiles", logs=_LogFile(many=True)),
    )
    def get(self, request: Request) -> Response:
        found, caller, lineup = [], caller_of(request), SERVING.lineup
        for model in sorted(lineup.models):
            if not reach.may_manage(caller, lineup, model):
                continue
            path = log_path(settings.CLARACORE_HOME, model)
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            older = _older(path)
            found.append(
                {
                    "model": model,
                    "bytes": state.st_size,
                    "olderBytes": older.stat().st_size if older.exists() else 0,
                    "changedAt": iso(datetime.fromtimestamp(state.st_mtime, UTC)),
                }
            )
        return Response({"logs": found})


@needs(Scope.MANAGE)
@keeps_within_reach
class DownloadLog(RunnerView):
    """GET /api/logs/<model>/download: one engine's log file.

    Which file it is follows from the model's id alone, and only of models that are served.
    """

    @described(
        "download_log",
        "Download the log file of a model's engine",
        tag="monitoring",
        answers=OpenApiTypes.BINARY,
        media="text/plain",
        errors=(403, 404, 400),
        query=[_OLDER],
    )
    def get(self, request: Request, name: str) -> Any:
        path = SERVING.engine_log(managed(caller_of(request), name))
        assert path is not None
        if truth(request, "older"):
            path = _older(path)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            text = (
                f"There is no older log of '{name}' yet."
                if path.suffix == ".1"
                else f"There is no log of '{name}': its engine has not been started yet."
            )
            raise ApiError(text, details="", status=404, code="NOT_FOUND") from None
        return FileResponse(
            file, as_attachment=True, filename=path.name, content_type="text/plain; charset=utf-8"
        )


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")
