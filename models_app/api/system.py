"""What this machine is and what suits it."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import detection, hardware
from models_app.models import MachineReport, ServerSettings
from models_app.plans import preferences_of


@api_view(["GET"])
def specs(request: Request) -> Response:
    """Memory, cores, GPU and disk, in bytes."""
    return Response(detection.specs(hardware.current()))


@api_view(["GET"])
def detect(request: Request) -> Response:
    """The machine in words, with recommendations."""
    report = MachineReport.objects.filter(pk=1).first()
    return Response(
        detection.detection(
            hardware.current(),
            preferences_of(ServerSettings.current()),
            report.read_at if report else timezone.now(),
        )
    )
