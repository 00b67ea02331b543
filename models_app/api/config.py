"""The configuration as one text."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import acting, catalog, changing, config_view, importing, revisions
from models_app.access import needs
from models_app.api.bodies import dry_run_of, read
from models_app.api.errors import ApiError
from models_app.api.fields import Flag, Text
from models_app.api.schema import DRY_RUN, Effect, described
from models_app.config_yaml import ConfigError, ParsedConfig, parse, render
from models_app.document import DEFAULT_GROUP
from models_app.rights import Scope

RESTART_TEXT = (
    "Configuration has been updated. Would you like to restart the server to apply changes?"
)


class Group(serializers.Serializer[Any]):
    swap = serializers.BooleanField()
    exclusive = serializers.BooleanField()
    persistent = serializers.BooleanField()
    members = serializers.ListField(child=serializers.CharField())
    startPort = serializers.IntegerField()


class Model(serializers.Serializer[Any]):
    """A model; macros are filled in, `${PORT}` stays until its engine starts."""

    name = serializers.CharField()
    description = serializers.CharField()
    cmd = serializers.CharField()
    proxy = serializers.CharField()
    cmdStop = serializers.CharField()
    checkEndpoint = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    env = serializers.ListField(child=serializers.CharField())
    ttl = serializers.IntegerField()
    unlisted = serializers.BooleanField()
    useModelName = serializers.CharField()
    concurrencyLimit = serializers.IntegerField()


class Config(serializers.Serializer[Any]):
    healthCheckTimeout = serializers.IntegerField()
    logLevel = serializers.CharField()
    startPort = serializers.IntegerField()
    downloadDir = serializers.CharField()
    macros = serializers.DictField(child=serializers.CharField())
    models = serializers.DictField(child=Model())
    groups = serializers.DictField(child=Group())


class ConfigAnswer(serializers.Serializer[Any]):
    yaml = serializers.CharField()
    config = Config()


class ConfigText(serializers.Serializer[Any]):
    yaml = Text(allow_blank=True)
    merge = Flag(
        required=False,
        help_text="true: keep what the text does not name. Otherwise the text is all there is.",
    )


class CheckedText(serializers.Serializer[Any]):
    yaml = Text(allow_blank=True, required=False)


class ConfigUpdated(Effect):
    status = serializers.CharField()
    backup = serializers.CharField(help_text="The revision to go back to.")
    requiresRestart = serializers.BooleanField()
    restartMessage = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class Validated(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    modelCount = serializers.IntegerField()
    groupCount = serializers.IntegerField(help_text="The implicit default group included.")
    macroCount = serializers.IntegerField()
    startPort = serializers.IntegerField()
    downloadDir = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


@needs(Scope.MANAGE)
class Whole(APIView):
    """/api/config"""

    @described(
        "get_config",
        "The whole configuration",
        tag="config",
        answers=ConfigAnswer,
        about="`yaml` is the text of config.yaml as it is; secrets included for administrators, "
        "while others read marks in their place. In `config`, which is what pages show, ******** "
        "stands for each of them.",
    )
    def get(self, request: Request) -> Response:
        document = catalog.build()
        whole = acting.rights().may(Scope.ADMIN)
        text = render(document) if whole else revisions.masked_text(document, {})
        return Response({"yaml": text, "config": config_view.shown(document)})

    @needs(Scope.ADMIN)
    @described(
        "update_config",
        "Replace the configuration",
        tag="config",
        takes=ConfigText,
        answers=ConfigUpdated,
        query=[DRY_RUN],
        about="The text is taken in whole or not at all, and acts at once.",
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        values = read(request, ConfigText)
        if not values["yaml"].strip():
            raise ApiError("yaml is required", code="INVALID_REQUEST")
        parsed = _parsed(values["yaml"])
        merge = values.get("merge", False)
        before = catalog.build()

        def take_in() -> importing.ImportReport:
            return importing.apply(parsed) if merge else importing.apply_edit(parsed, before)

        try:
            changed = changing.change(take_in, "configuration sent", dry_run=dry_run)
        except ConfigError as error:
            raise _invalid(error) from error
        report = changed.result
        return Response(
            {
                "status": "Configuration updated successfully",
                "backup": str(changed.backup or ""),
                "requiresRestart": True,
                "restartMessage": RESTART_TEXT,
                "warnings": list(report.warnings),
                **changed.told(),
            }
        )


@needs(Scope.MANAGE)
class Validate(APIView):
    """/api/config/validate"""

    @described(
        "validate_current_config",
        "Check a configuration, or the one in use",
        tag="config",
        answers=Validated,
        errors=(400, 413),
        query=[OpenApiParameter("yaml", OpenApiTypes.STR)],
        about="The text may also be sent as a JSON body, as clients of the first version do.",
    )
    def get(self, request: Request) -> Response:
        text = request.query_params.get("yaml")
        if text is None:
            text = read(request, CheckedText, optional=True).get("yaml")
        return _validated(render(catalog.build()) if text is None else text)

    @described(
        "validate_config",
        "Check a configuration",
        tag="config",
        takes=ConfigText,
        answers=Validated,
    )
    def post(self, request: Request) -> Response:
        return _validated(read(request, ConfigText)["yaml"])


def _validated(text: str) -> Response:
    parsed = _parsed(text, valid=False)
    document = parsed.document
    return Response(
        {
            "valid": True,
            "modelCount": len(document.models),
            "groupCount": len({DEFAULT_GROUP, *document.groups}),
            "macroCount": len(document.macros),
            "startPort": document.start_port,
            "downloadDir": config_view.download_folder(document),
            "warnings": list(parsed.warnings),
        }
    )


def _parsed(text: str, **more: Any) -> ParsedConfig:
    try:
        return parse(text)
    except ConfigError as error:
        raise _invalid(error, **more) from error


def _invalid(error: ConfigError, **more: Any) -> ApiError:
    return ApiError(
        f"Invalid configuration: {error}",
        code="INVALID_CONFIGURATION",
        details=f"line {error.line}" if error.line else "",
        line=error.line,
        **more,
    )
