"""Single models of the configuration: added, changed, deleted."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import adding, catalog, changing, model_info, retuning, system_settings
from models_app.access import keeps_within_reach, needs
from models_app.api.bodies import dry_run_of, read
from models_app.api.errors import ApiError, check_looked_after
from models_app.api.fields import Choice, Flag, Text, Whole
from models_app.api.options import LEAST_CONTEXT, Options, system_of, wishes_in
from models_app.api.schema import DRY_RUN, Effect, described
from models_app.models import ServedModel
from models_app.models.served import CACHE_TYPES
from models_app.plans import PlanContext, find_model
from models_app.rights import Scope

APPENDED = "Model successfully appended to config.yaml"
APPENDED_RESTART = (
    "New model has been added to configuration. "
    "Would you like to restart the server to apply changes?"
)
UPDATED_RESTART = (
    "Model configuration has been updated. Would you like to restart the server to apply changes?"
)


class ModelInfo(serializers.Serializer[Any]):
    name = serializers.CharField()
    size = serializers.CharField()
    quantization = serializers.CharField()
    isInstruct = serializers.BooleanField()
    isEmbedding = serializers.BooleanField()
    contextLength = serializers.IntegerField()
    isDraft = serializers.BooleanField()
    numLayers = serializers.IntegerField()
    isMoE = serializers.BooleanField()


class AppendRequest(serializers.Serializer[Any]):
    filePath = Text(max_length=4096)
    options = Options(required=False)


class Appended(Effect):
    status = serializers.CharField()
    modelId = serializers.CharField()
    modelInfo = ModelInfo()
    requiresRestart = serializers.BooleanField()
    restartMessage = serializers.CharField()


class PreviewRequest(serializers.Serializer[Any]):
    filePath = Text(max_length=4096)


class PreviewEntry(serializers.Serializer[Any]):
    cmd = serializers.CharField()
    description = serializers.CharField()
    env = serializers.ListField(child=serializers.CharField())
    name = serializers.CharField()
    proxy = serializers.CharField()
    ttl = serializers.IntegerField(allow_null=True)


class PreviewSystem(serializers.Serializer[Any]):
    vram = serializers.FloatField(help_text="GiB.")
    ram = serializers.FloatField(help_text="GiB.")
    backend = serializers.CharField()
    binary = serializers.CharField()


class PreviewConfig(serializers.Serializer[Any]):
    config = PreviewEntry()
    source = serializers.CharField()  # type: ignore[assignment]
    system = PreviewSystem()


class Preview(serializers.Serializer[Any]):
    status = serializers.CharField()
    modelId = serializers.CharField()
    config = PreviewConfig()
    modelInfo = ModelInfo()


class ModelParameters(serializers.Serializer[Any]):
    """Only what is given changes; null is automatic again."""

    contextSize = Whole(required=False, allow_null=True, min_value=LEAST_CONTEXT)
    layers = Whole(required=False, allow_null=True, help_text="On the GPU; 999: all.")
    cacheType = Choice(choices=CACHE_TYPES, required=False, allow_null=True, allow_blank=True)
    batchSize = Whole(required=False, allow_null=True, min_value=1, max_value=65536)
    slots = Whole(required=False, allow_null=True, min_value=1, max_value=256)
    gpus = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=255,
        help_text="The only ones it may use, by name or number: `CUDA1`, `0,1`; null: automatic.",
    )
    engine = Whole(
        required=False,
        allow_null=True,
        help_text="The build that runs it, by its id in /api/engines; null: the active one.",
    )
    name = Text(required=False, allow_blank=True, max_length=255)
    description = Text(required=False, allow_blank=True, max_length=4096)
    ttl = Whole(required=False, allow_null=True, help_text="Seconds; 0: never.")
    concurrencyLimit = Whole(required=False, allow_null=True, min_value=1)
    unlisted = Flag(required=False)
    enabled = Flag(required=False)


class ModelUpdated(Effect):
    status = serializers.CharField()
    model = serializers.CharField()
    backup = serializers.CharField(help_text="The revision to go back to.")
    updated = serializers.DictField(help_text="The fields that were given.")
    requiresRestart = serializers.BooleanField()
    restartMessage = serializers.CharField()


class ModelDeleted(Effect):
    status = serializers.CharField()
    modelId = serializers.CharField()
    message = serializers.CharField()
    backup = serializers.CharField(help_text="The revision to go back to.")


@needs(Scope.MANAGE)
class Append(APIView):
    """/api/config/append-model"""

    @described(
        "append_model",
        "Add the model in one file",
        tag="config",
        takes=AppendRequest,
        answers=Appended,
        errors=(404, 409),
        query=[DRY_RUN],
        about="The file's folder is tracked if it was not; its other files are left alone.",
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        values = read(request, AppendRequest)
        wishes = wishes_in(system_settings.given_options(values.get("options", {})))
        path = adding.absolute(values["filePath"])

        def append() -> tuple[str, dict[str, Any]]:
            if served := adding.served_from(path):
                raise adding.IsServed(served, path)
            model = adding.add(path, wishes)
            return model.model_id, model_info.model_info(model)

        try:
            changed = changing.change(append, "model added", dry_run=dry_run)
        except adding.IsServed as error:
            raise ApiError(
                str(error),
                status=409,
                code="MODEL_EXISTS",
                existingModelId=error.model.model_id,
                filePath=error.path,
            ) from error
        except adding.CannotAdd as error:
            raise _cannot_add(error) from error
        model_id, info = changed.result
        return Response(
            {
                "status": APPENDED,
                "modelId": model_id,
                "modelInfo": info,
                "requiresRestart": True,
                "restartMessage": APPENDED_RESTART,
                **changed.told(),
            }
        )


@needs(Scope.MANAGE)
class Add(APIView):
    """/api/config/add-model"""

    @described(
        "preview_model",
        "What the model in one file would be",
        tag="config",
        takes=PreviewRequest,
        answers=Preview,
        errors=(404,),
        about="Nothing is written; append-model does.",
    )
    def post(self, request: Request) -> Response:
        path = adding.absolute(read(request, PreviewRequest)["filePath"])
        try:
            with transaction.atomic():
                body = _preview(adding.served_from(path) or adding.add(path))
                transaction.set_rollback(True)
        except adding.CannotAdd as error:
            raise _cannot_add(error) from error
        return Response(body)


@needs(Scope.MANAGE)
@keeps_within_reach
class One(APIView):
    """/api/config/model/<id>"""

    @described(
        "update_model",
        "Change how a model is started",
        tag="config",
        takes=ModelParameters,
        answers=ModelUpdated,
        errors=(403, 404),
        query=[DRY_RUN],
        examples={"Documented": {"contextSize": 65536, "layers": 999, "cacheType": "q4_0"}},
    )
    def post(self, request: Request, name: str) -> Response:
        dry_run = dry_run_of(request)
        values = read(request, ModelParameters)
        model = _found(request, name)
        if not values:
            raise ApiError(
                "Nothing to change. Send at least one of contextSize, layers, cacheType and "
                "batchSize.",
                code="INVALID_REQUEST",
            )
        try:
            changed = changing.change(
                lambda: retuning.retune(model, values),
                f"{model.model_id} changed",
                dry_run=dry_run,
            )
        except retuning.OfAnAdministrator as error:
            raise ApiError(str(error), status=403, code="NOT_ALLOWED") from error
        except retuning.CannotRetune as error:
            raise ApiError(
                f"Failed to update model parameters: {error}", code="INVALID_CONFIGURATION"
            ) from error
        return Response(
            {
                "status": "Model parameters updated successfully",
                "model": model.model_id,
                "backup": str(changed.backup or ""),
                "updated": values,
                "requiresRestart": True,
                "restartMessage": UPDATED_RESTART,
                **changed.told(),
            }
        )


@needs(Scope.MANAGE)
@keeps_within_reach
class Entry(APIView):
    """/api/config/models/<id>"""

    @described(
        "delete_model",
        "Take a model out of the configuration",
        tag="config",
        answers=ModelDeleted,
        errors=(400, 403, 404),
        query=[DRY_RUN],
        about="The file stays on disk, and scans do not make a model of it again.",
    )
    def delete(self, request: Request, name: str) -> Response:
        dry_run = dry_run_of(request)
        model = _found(request, name)
        changed = changing.change(model.delete, f"{name} deleted", dry_run=dry_run)
        return Response(
            {
                "status": "Model deleted",
                "modelId": model.model_id,
                "message": "The file stays on disk. POST /api/config/append-model brings it back.",
                "backup": str(changed.backup or ""),
                **changed.told(),
            }
        )


def _found(request: Request, name: str) -> ServedModel:
    # A slash at the end of an address is taken off, though an id may end with one.
    model = find_model(name) or find_model(f"{name}/")
    if model is None:
        raise ApiError("model not found", status=404, code="NOT_FOUND", details=name)
    check_looked_after(request, model, name)
    return model


def _cannot_add(error: adding.CannotAdd) -> ApiError:
    status, code = (404, "FILE_NOT_FOUND") if error.missing else (400, "NOT_A_MODEL")
    return ApiError(str(error), status=status, code=code, details=error.details)


def _preview(model: ServedModel) -> dict[str, Any]:
    context = PlanContext.load()
    entry = catalog.entry_of(model, context)
    return {
        "status": "SMART model configuration generated (same as command-line)",
        "modelId": model.model_id,
        "config": {
            "config": {
                "cmd": entry.cmd,
                "description": entry.description,
                "env": list(entry.env),
                "name": entry.name,
                "proxy": entry.proxy,
                "ttl": entry.ttl,
            },
            "source": "SMART autosetup (same as command-line)",
            "system": {**system_of(), "binary": context.binary},
        },
        "modelInfo": model_info.model_info(model),
    }
