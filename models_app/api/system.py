"""What this machine is and what suits it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import detection, hardware
from models_app.access import keeps_within_reach, needs
from models_app.api.schema import described
from models_app.models import MachineReport, ServerSettings
from models_app.plans import preferences_of
from models_app.rights import Scope


class Specs(serializers.Serializer[Any]):
    totalRAM = serializers.IntegerField(help_text="Bytes.")
    availableRAM = serializers.IntegerField(help_text="Bytes.")
    totalVRAM = serializers.IntegerField(help_text="Bytes.")
    availableVRAM = serializers.IntegerField(help_text="Bytes.")
    cpuCores = serializers.IntegerField()
    gpuName = serializers.CharField()
    diskSpace = serializers.IntegerField(help_text="Free bytes where the server keeps its things.")


class PrimaryGpu(serializers.Serializer[Any]):
    name = serializers.CharField()
    brand = serializers.CharField()
    vramGB = serializers.FloatField()


class Recommendations(serializers.Serializer[Any]):
    primaryBackend = serializers.CharField()
    fallbackBackend = serializers.CharField()
    suggestedContextSize = serializers.IntegerField()
    suggestedVRAMAllocation = serializers.IntegerField(help_text="GiB.")
    suggestedRAMAllocation = serializers.IntegerField(help_text="GiB.")
    throughputFirst = serializers.BooleanField()
    notes = serializers.ListField(child=serializers.CharField())


class Detection(serializers.Serializer[Any]):
    detectionQuality = serializers.CharField(help_text="excellent, good or basic.")
    platform = serializers.CharField()
    arch = serializers.CharField()
    gpuDetected = serializers.BooleanField()
    gpuTypes = serializers.ListField(child=serializers.CharField())
    primaryGPU = PrimaryGpu(allow_null=True)
    totalRAMGB = serializers.FloatField()
    availableRAMGB = serializers.FloatField()
    recommendedBackends = serializers.ListField(child=serializers.CharField())
    supportedBackends = serializers.ListField(child=serializers.CharField())
    recommendedContextSizes = serializers.ListField(child=serializers.IntegerField())
    maxRecommendedContextSize = serializers.IntegerField()
    recommendations = Recommendations()
    detectionTimestamp = serializers.DateTimeField()


@needs(Scope.MANAGE)
@keeps_within_reach
@described("system_specs", "What this machine has", tag="system", answers=Specs)
@api_view(["GET"])
def specs(request: Request) -> Response:
    """Memory, cores, GPU and disk, in bytes."""
    return Response(detection.specs(hardware.current()))


@needs(Scope.MANAGE)
@keeps_within_reach
@described(
    "system_detection", "What this machine is, and what suits it", tag="system", answers=Detection
)
@api_view(["GET"])
def detect(request: Request) -> Response:
    """The machine in words, with recommendations."""
    report = MachineReport.objects.first()
    return Response(
        detection.detection(
            hardware.current(),
            preferences_of(ServerSettings.current()),
            report.read_at if report else timezone.now(),
        )
    )
