"""Setting models up from folders, and how far that has got."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import catalog, causes, changing, folders, setting_up, system_settings
from models_app.access import needs
from models_app.api.bodies import dry_run_of, number, read
from models_app.api.errors import ApiError
from models_app.api.fields import Flag, Text
from models_app.api.options import WAIT_SECONDS, FolderSummary, Options, finished
from models_app.api.scanning import LONGEST_WAIT
from models_app.api.schema import DRY_RUN, WAIT, Effect, described
from models_app.config_yaml import render
from models_app.models import ModelFolder, ScanRun
from models_app.progress import COLUMNS, setup_progress
from models_app.rights import Scope

SOURCE = "autosetup.AutoSetupWithOptions() - identical to CLI"


class RegenerateRequest(serializers.Serializer[Any]):
    options = Options(required=False)
    reset = Flag(
        required=False,
        help_text="true: take back what was chosen for single models, and make deleted ones again.",
    )


class Regenerated(Effect):
    status = serializers.CharField()
    totalModels = serializers.IntegerField()
    foldersScanned = serializers.IntegerField()
    scanSummary = FolderSummary(many=True)
    config = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    primaryFolder = serializers.CharField()
    note = serializers.CharField()
    autoRestart = serializers.CharField()
    backup = serializers.CharField()
    ignoredOptions = serializers.ListField(child=serializers.CharField())


class GenerateRequest(serializers.Serializer[Any]):
    folderPath = Text(max_length=4096)
    options = Options(required=False)


class Generated(Effect):
    status = serializers.CharField()
    message = serializers.CharField()
    config = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    totalModels = serializers.IntegerField()
    scanSummary = FolderSummary(many=True)
    backup = serializers.CharField()
    ignoredOptions = serializers.ListField(child=serializers.CharField())


class Progress(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="idle, processing, completed or error.")
    current_step = serializers.CharField()
    progress = serializers.FloatField(help_text="Percent.")
    total_models = serializers.IntegerField()
    processed_models = serializers.IntegerField()
    current_model = serializers.CharField()
    error = serializers.CharField(allow_null=True)
    completed = serializers.BooleanField()
    started_at = serializers.DateTimeField(help_text="The year 1 stands for never.")
    updated_at = serializers.DateTimeField()
    id = serializers.IntegerField(allow_null=True, help_text="The scan.")


@needs(Scope.MANAGE)
class Regenerate(APIView):
    """/api/config/regenerate-from-db"""

    @described(
        "regenerate",
        "Set up all models of the tracked folders",
        tag="config",
        takes=RegenerateRequest,
        answers=Regenerated,
        errors=(404, 500, 503),
        query=[WAIT, DRY_RUN],
        about="Saves the options, scans all enabled folders and serves what they hold. What was "
        "chosen for single models stays. A dry run scans nothing.",
    )
    def post(self, request: Request) -> Response:
        seconds = number(request, "wait", WAIT_SECONDS, LONGEST_WAIT)
        dry_run = dry_run_of(request)
        values = read(request, RegenerateRequest, optional=True)
        options = system_settings.given_options(values.get("options", {}))
        reset = values.get("reset", False)
        before = changing.begin(dry_run=dry_run)
        try:
            if dry_run:
                tried = changing.change(
                    lambda: setting_up.regenerate(options, reset=reset), "", dry_run=True
                )
                return Response(_regenerated(tried.told(), tried.result, None, before))
            with causes.told("configuration regenerated"):
                started = setting_up.regenerate(options, reset=reset)
        except setting_up.NothingToDo as error:
            raise ApiError(str(error), code="NO_FOLDERS") from error
        run = finished(started.run, seconds)
        if not setting_up.count_models(list(ModelFolder.objects.filter(enabled=True))):
            raise ApiError(
                "No models found in any enabled folders",
                status=404,
                code="NO_MODELS",
                scanSummary=run.summary,
            )
        told = {**changing.end(before).to_json(), "dryRun": False}
        return Response(_regenerated(told, started, run, before))


@needs(Scope.MANAGE)
class GenerateAll(APIView):
    """/api/config/generate-all"""

    @described(
        "generate_all",
        "Set up all models of one folder",
        tag="config",
        takes=GenerateRequest,
        answers=Generated,
        errors=(404, 500, 503),
        query=[WAIT, DRY_RUN],
        about="Tracks the folder, saves the options, scans the folder and serves what it holds. "
        "A folder without models changes nothing else. A dry run scans nothing.",
    )
    def post(self, request: Request) -> Response:
        seconds = number(request, "wait", WAIT_SECONDS, LONGEST_WAIT)
        dry_run = dry_run_of(request)
        values = read(request, GenerateRequest)
        options = system_settings.given_options(values.get("options", {}))
        before = changing.begin(dry_run=dry_run)

        def set_up() -> tuple[setting_up.Started, ModelFolder]:
            return setting_up.set_up_folder(values["folderPath"], options)

        try:
            if dry_run:
                tried = changing.change(set_up, "", dry_run=True)
                started, folder = tried.result
                return Response(_generated(tried.told(), started, folder, None, before))
            with causes.told("folder set up"):
                started, folder = set_up()
        except folders.FolderError as error:
            gone = str(error).endswith("does not exist.")
            raise ApiError(
                str(error),
                status=404 if gone else 400,
                code="FOLDER_NOT_FOUND" if gone else "BAD_FOLDER",
            ) from error
        run = finished(started.run, seconds)
        told = {**changing.end(before).to_json(), "dryRun": False}
        return Response(_generated(told, started, folder, run, before))


@needs(Scope.MANAGE)
class SetupProgress(APIView):
    """/api/setup/progress"""

    @described("setup_progress", "How far the newest scan is", tag="config", answers=Progress)
    def get(self, request: Request) -> Response:
        return Response(setup_progress(ScanRun.objects.values(*COLUMNS).order_by("-pk").first()))


def _generated(
    told: dict[str, Any],
    started: setting_up.Started,
    folder: ModelFolder,
    run: ScanRun | None,
    before: changing.Before,
) -> dict[str, Any]:
    return {
        "status": "SMART configuration generated (SAME as command-line ✨)",
        "message": "Complete config.yaml generated with intelligent model detection and GPU "
        "optimization",
        "config": render(catalog.build()),
        "source": "autosetup.AutoSetupWithOptions (identical to claracore.exe -models-folder)",
        # Of a trial the folder was never kept, and then nothing is known of it.
        "totalModels": setting_up.count_models([folder]) if run else 0,
        "scanSummary": run.summary if run else [],
        "backup": str(before.backup or ""),
        "ignoredOptions": list(started.ignored),
        **told,
    }


def _regenerated(
    told: dict[str, Any],
    started: setting_up.Started,
    run: ScanRun | None,
    before: changing.Before,
) -> dict[str, Any]:
    enabled = list(ModelFolder.objects.filter(enabled=True))
    return {
        "status": "Configuration regenerated using CLI autosetup function",
        "totalModels": setting_up.count_models(enabled),
        "foldersScanned": len(run.summary) if run else 0,
        "scanSummary": run.summary if run else [],
        "config": render(catalog.build()),
        "source": SOURCE,
        "primaryFolder": enabled[0].path if enabled else "",
        "note": "Using same function as CLI for guaranteed consistency",
        "autoRestart": "Soft restart triggered automatically",
        "backup": str(before.backup or ""),
        "ignoredOptions": list(started.ignored),
        **told,
    }
