"""The folders whose files are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Max, Q
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import changing, folders, introduce, scan_runs
from models_app.access import needs
from models_app.api.bodies import dry_run_of, read
from models_app.api.errors import ApiError
from models_app.api.fields import Flag, Texts
from models_app.api.schema import DRY_RUN, Effect, described
from models_app.models import GgufFile, ModelFolder, ScanRun
from models_app.progress import rfc3339
from models_app.rights import Scope

VERSION = "1.0"


class Folder(serializers.Serializer[Any]):
    path = serializers.CharField()
    addedAt = serializers.DateTimeField()
    lastScanned = serializers.DateTimeField(help_text="The year 1 stands for never.")
    modelCount = serializers.IntegerField()
    recursive = serializers.BooleanField()
    enabled = serializers.BooleanField()
    problem = serializers.CharField(help_text="Why the last scan could not read all of it.")


class FolderList(serializers.Serializer[Any]):
    folders = Folder(many=True)
    lastScan = serializers.DateTimeField()
    version = serializers.CharField()
    totalCount = serializers.IntegerField()


class FolderPaths(serializers.Serializer[Any]):
    folderPaths = Texts(allow_empty=False)


class NewFolders(FolderPaths):
    recursive = Flag(required=False, help_text="true unless said otherwise.")


class FoldersAdded(Effect):
    status = serializers.CharField()
    addedFolders = serializers.ListField(child=serializers.CharField())
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.CharField()
    )
    scanId = serializers.IntegerField(
        allow_null=True, help_text="The scan that was asked for; see /api/setup/progress."
    )


class FoldersRemoved(Effect):
    status = serializers.CharField()
    removedFolders = serializers.ListField(child=serializers.CharField())
    remainingCount = serializers.IntegerField()


@needs(Scope.MANAGE)
class Folders(APIView):
    """/api/config/folders"""

    @described("list_folders", "The tracked folders", tag="folders", answers=FolderList)
    def get(self, request: Request) -> Response:
        rows = with_model_counts()
        newest = ModelFolder.objects.aggregate(newest=Max("last_scanned_at"))["newest"]
        return Response(
            {
                "folders": [_shown(row) for row in rows],
                "lastScan": rfc3339(newest),
                "version": VERSION,
                "totalCount": len(rows),
            }
        )

    @described(
        "add_folders",
        "Track folders, and scan them in the background",
        tag="folders",
        takes=NewFolders,
        answers=FoldersAdded,
        errors=(400,),
        query=[DRY_RUN],
        about="The answer does not wait for the scan, so it cannot tell of models that it finds; "
        "a dry run of scan-folder can.",
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        values = read(request, NewFolders)

        def add() -> tuple[list[ModelFolder], list[str], ScanRun | None]:
            rows, problems = track(values["folderPaths"], values.get("recursive"))
            return rows, problems, scan_runs.request(rows) if rows else None

        changed = changing.change(add, "folders added", dry_run=dry_run)
        rows, problems, run = changed.result
        if run is None:
            raise ApiError("No valid folders found", code="NO_VALID_FOLDERS", details=problems)
        return Response(
            {
                "status": "Folders added to database",
                "addedFolders": [row.path for row in rows],
                "errors": problems,
                "scanId": None if dry_run else run.pk,
                **changed.told(),
            }
        )

    @described(
        "remove_folders",
        "Let folders go",
        tag="folders",
        answers=FoldersRemoved,
        errors=(400, 413),
        query=[DRY_RUN],
        about="The files stay on disk; models that somebody changed are kept without their file.",
    )
    def delete(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        paths = read(request, FolderPaths)["folderPaths"]
        changed = changing.change(lambda: _remove(paths), "folders removed", dry_run=dry_run)
        removed, remaining = changed.result
        return Response(
            {
                "status": "Folders removed from database",
                "removedFolders": removed,
                "remainingCount": remaining,
                **changed.told(),
            }
        )


def track(paths: Iterable[str], recursive: bool | None) -> tuple[list[ModelFolder], list[str]]:
    """Track folders; those that are tracked now, and why others are not."""
    rows: dict[int, ModelFolder] = {}
    problems = []
    for path in paths:
        try:
            row = folders.add(path, recursive)
        except folders.AlreadyCovered as error:
            row = error.covering
            problems.append(str(error))
        except folders.FolderError as error:
            problems.append(_as_documented(path, error))
            continue
        rows[row.pk] = row
    return list(rows.values()), problems


def with_model_counts() -> list[Any]:
    """The folders, each with `model_count`."""
    whole = Q(
        files__state=GgufFile.State.OK,
        files__first_part=None,
        files__kind__in=introduce.SERVED_KINDS,
    )
    return list(ModelFolder.objects.annotate(model_count=Count("files", filter=whole)))


def _as_documented(path: str, error: folders.FolderError) -> str:
    text = str(error)
    return f"Folder does not exist: {path}" if text.endswith("does not exist.") else text


def _shown(row: Any) -> dict[str, Any]:
    return {
        "path": row.path,
        "addedAt": rfc3339(row.added_at),
        "lastScanned": rfc3339(row.last_scanned_at),
        "modelCount": row.model_count,
        "recursive": row.recursive,
        "enabled": row.enabled,
        "problem": row.problem,
    }


def _remove(paths: Iterable[str]) -> tuple[list[str], int]:
    removed = []
    for path in paths:
        row = ModelFolder.objects.filter(path=path).first() or folders.tracked_as(path)
        if row is not None:
            removed.append(row.path)
            folders.remove(row)
    return removed, ModelFolder.objects.count()
