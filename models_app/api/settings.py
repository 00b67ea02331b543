"""The server's settings, as clients read and save them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import api_keys, changing, hf_token, system_settings
from models_app.access import keeps_within_reach, needs
from models_app.api.bodies import dry_run_of, read
from models_app.api.errors import ApiError
from models_app.api.fields import Choice, Flag, Real, Text, Whole
from models_app.api.options import BACKENDS, checked_context
from models_app.api.schema import DRY_RUN, Effect, answer, described
from models_app.rights import Scope


class System(serializers.Serializer[Any]):
    gpuType = serializers.CharField()
    backend = serializers.CharField()
    vramGB = serializers.FloatField()
    ramGB = serializers.FloatField()
    preferredContext = serializers.IntegerField()
    minContext = serializers.IntegerField()
    throughputFirst = serializers.BooleanField()
    enableJinja = serializers.BooleanField()
    requireApiKey = serializers.BooleanField()
    apiKeyConfigured = serializers.BooleanField(help_text="The key itself is never told.")


class SystemAnswer(serializers.Serializer[Any]):
    settings = System()


class SystemRequest(serializers.Serializer[Any]):
    """What is left out stays; so does what is 0 or empty. null is detected again."""

    gpuType = Text(required=False, allow_blank=True, allow_null=True, max_length=64)
    backend = Choice(choices=BACKENDS, required=False, allow_blank=True, allow_null=True)
    vramGB = Real(required=False, allow_null=True)
    ramGB = Real(required=False, allow_null=True)
    preferredContext = Whole(required=False, allow_null=True)
    minContext = Whole(required=False, allow_null=True)
    throughputFirst = Flag(required=False)
    enableJinja = Flag(required=False)
    requireApiKey = Flag(required=False)
    apiKey = Text(required=False, allow_blank=True, max_length=512)

    def validate_preferredContext(self, value: int | None) -> int | None:
        return value and checked_context(value)

    def validate_minContext(self, value: int | None) -> int | None:
        return value and checked_context(value)


class Saved(Effect):
    status = serializers.CharField()


@needs(Scope.MANAGE)
@keeps_within_reach
class SystemSettings(APIView):
    """/api/settings/system"""

    @described("get_settings", "The server's settings", tag="settings", answers=SystemAnswer)
    def get(self, request: Request) -> Response:
        return Response({"settings": system_settings.shown()})

    @needs(Scope.ADMIN)
    @described(
        "save_settings",
        "Change the server's settings",
        tag="settings",
        takes=SystemRequest,
        answers=Saved,
        query=[DRY_RUN],
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        values = read(request, SystemRequest)
        try:
            changed = changing.change(
                lambda: system_settings.save(values), "system settings saved", dry_run=dry_run
            )
        except (system_settings.KeyNeeded, api_keys.KeyRejected) as error:
            raise ApiError(str(error), code="BAD_API_KEY") from error
        return Response({"status": "saved", **changed.told()})


class TokenRequest(serializers.Serializer[Any]):
    apiKey = Text(allow_blank=True, max_length=1024, help_text="Empty: forget it.")


@needs(Scope.MANAGE)
@keeps_within_reach
class HuggingFaceToken(APIView):
    """/api/settings/hf-api-key"""

    @described(
        "get_hf_token",
        "Whether a token for Hugging Face is kept",
        tag="settings",
        answers=answer(
            "TokenState", apiKey=serializers.CharField(), configured=serializers.BooleanField()
        ),
        about="The token itself is never told: `apiKey` is always empty.",
    )
    def get(self, request: Request) -> Response:
        return Response({"apiKey": "", "configured": bool(hf_token.read())})

    @needs(Scope.ADMIN)
    @described(
        "save_hf_token",
        "Keep a token for Hugging Face",
        tag="settings",
        takes=TokenRequest,
        answers=Saved,
        errors=(500,),
        query=[DRY_RUN],
        about="It is kept for downloads and touches no model.",
    )
    def post(self, request: Request) -> Response:
        dry_run = dry_run_of(request)
        token = read(request, TokenRequest)["apiKey"]
        try:
            hf_token.check(token)
            if not dry_run:
                hf_token.save(token)
        except hf_token.BadToken as error:
            raise ApiError(str(error), code="BAD_TOKEN") from error
        except OSError as error:
            raise ApiError(
                f"The token could not be kept: {error.strerror or error}. Make room or mend the "
                f"rights of {hf_token.path().parent}.",
                status=500,
                code="NOT_SAVED",
            ) from error
        return Response({"status": "saved", **changing.untouched(dry_run=dry_run)})
