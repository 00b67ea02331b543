"""What folders hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Q, Sum
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import causes, changing, folders, roots, scan_runs
from models_app.access import needs
from models_app.api.bodies import dry_run_of, number, read
from models_app.api.errors import ApiError
from models_app.api.fields import Flag, Text, Texts
from models_app.api.folders import track
from models_app.api.options import WAIT_SECONDS, FolderSummary, finished
from models_app.api.schema import DRY_RUN, WAIT, Effect, described
from models_app.facts import FileFacts
from models_app.looking import LISTED
from models_app.model_info import found_file
from models_app.models import GgufFile, ModelFolder, ScanRun
from models_app.rights import Scope

LONGEST_WAIT = 3600.0


class ScanRequest(serializers.Serializer[Any]):
    folderPath = Text(required=False, allow_blank=True, max_length=4096)
    folderPaths = Texts(required=False)
    recursive = Flag(required=False, help_text="true unless said otherwise.")
    addToDatabase = Flag(required=False, help_text="true: track the folders and serve them.")


class FoundModel(serializers.Serializer[Any]):
    modelId = serializers.CharField()
    filename = serializers.CharField()
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sizeFormatted = serializers.CharField()
    path = serializers.CharField()
    relativePath = serializers.CharField()
    quantization = serializers.CharField()
    isInstruct = serializers.BooleanField()
    isDraft = serializers.BooleanField()
    isEmbedding = serializers.BooleanField()
    contextLength = serializers.IntegerField()
    numLayers = serializers.IntegerField()
    isMoE = serializers.BooleanField()


class ScanAnswer(Effect):
    models = FoundModel(many=True)
    scanSummary = FolderSummary(many=True)
    totalModels = serializers.IntegerField()
    foldersScanned = serializers.IntegerField()


@needs(Scope.MANAGE)
class ScanFolder(APIView):
    """/api/config/scan-folder"""

    @described(
        "scan_folder",
        "Look for models in folders",
        tag="config",
        takes=ScanRequest,
        answers=ScanAnswer,
        errors=(500, 503),
        query=[WAIT, DRY_RUN],
        about="A worker does it; the answer waits for its end. A folder that cannot be read is "
        "told of in scanSummary. A dry run looks, but tracks and serves nothing.",
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        seconds = number(request, "wait", WAIT_SECONDS, LONGEST_WAIT)
        values = read(request, ScanRequest)
        named = (values.get("folderPath"), *values.get("folderPaths", ()))
        paths = list(dict.fromkeys(path for path in named if path))
        if not paths:
            raise ApiError("folderPath or folderPaths is required", code="INVALID_REQUEST")
        recursive = values.get("recursive")
        if values.get("addToDatabase") and not dry_run:
            before = changing.begin()
            with causes.told("folders added"):
                found = _tracked(paths, recursive, seconds)
            return Response({**found, **changing.end(before).to_json(), "dryRun": False})
        found = _looked(paths, recursive is not False, seconds)
        return Response({**found, **changing.untouched(dry_run=dry_run)})


def _looked(paths: Sequence[str], recursive: bool, seconds: float) -> dict[str, Any]:
    usable, refused = [], []
    for path in paths:
        try:
            roots.check(path)
        except roots.OutsideRoots as error:
            refused.append(_error(path, str(error)))
            continue
        if os.path.isabs(path):
            usable.append((os.path.normpath(path), recursive))
        else:
            refused.append(_error(path, f"“{path}” is not an absolute path."))
    run = finished(scan_runs.request_look(usable), seconds) if usable else None
    return _answer(run.found if run else [], [*(run.summary if run else ()), *refused])


def _tracked(paths: Sequence[str], recursive: bool | None, seconds: float) -> dict[str, Any]:
    rows: dict[str, ModelFolder] = {}
    summary = []
    for path in paths:
        tracked, problems = track([path], recursive)
        if tracked:
            rows[path] = tracked[0]
        else:
            summary.append(_error(path, problems[0]))
    if rows:
        run = finished(scan_runs.request(list(rows.values())), seconds)
        summary = [*_summary_of(run, rows), *summary]
    return _answer(found_below(rows), summary)


def found_below(rows: dict[str, ModelFolder]) -> list[dict[str, Any]]:
    """The models that scans found at or below the given paths, each tracked by its row."""
    if not rows:
        return []
    below = Q()
    for path, row in rows.items():
        # A folder that is tracked under another name, or as part of one above it.
        inside = os.path.join(os.path.normpath(path), "")
        whole = folders.tracked_as(path) == row
        below |= Q(folder=row) if whole else Q(folder=row, path__startswith=inside)
    files = GgufFile.objects.filter(
        below, state=GgufFile.State.OK, kind__in=LISTED, first_part__isnull=True
    )
    files = files.annotate(later=Sum("later_parts__size")).prefetch_related("served_as")
    return [_found(file) for file in files]


def _found(file: Any) -> dict[str, Any]:
    served = file.served_as.all()
    return found_file(
        FileFacts.from_json(file.facts),
        file.path,
        file.relative_path,
        file.size + (file.later or 0),
        served[0].model_id if served else "",
    )


def _summary_of(run: ScanRun, rows: dict[str, ModelFolder]) -> list[dict[str, Any]]:
    by_path = {folder["folder"]: folder for folder in run.summary}
    return [
        {**by_path[row.path], "folder": path} for path, row in rows.items() if row.path in by_path
    ]


def _answer(models: list[dict[str, Any]], summary: Iterable[dict[str, Any]]) -> dict[str, Any]:
    summary = list(summary)
    return {
        "models": models,
        "scanSummary": summary,
        "totalModels": len(models),
        "foldersScanned": len(summary),
    }


def _error(path: str, problem: str) -> dict[str, Any]:
    return {"folder": path, "status": "error", "error": problem, "models": 0}
