"""The options that setting models up takes, and what became of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from models_app import detection, hardware, scan_waits
from models_app.api.errors import ApiError
from models_app.api.fields import Choice, Flag, Real, Whole
from models_app.models import ScanRun, ServerSettings
from models_app.plans import preferences_of

BACKENDS = tuple(ServerSettings.Backend.values)
LEAST_CONTEXT = 256

WAIT_SECONDS = 600.0
"""How long a call waits for a scan unless it says otherwise."""


def context_field() -> Whole:
    """A context in tokens; 0 stands for what is saved."""
    return Whole(required=False, help_text="Tokens; 0: as saved.")


class Options(serializers.Serializer[Any]):
    """What is left out, 0 or empty is taken from the saved settings."""

    enableJinja = Flag(required=False)
    throughputFirst = Flag(required=False)
    minContext = context_field()
    preferredContext = context_field()
    forceBackend = Choice(choices=BACKENDS, required=False, allow_blank=True)
    forceVRAM = Real(required=False, help_text="GiB; 0: as saved.")
    forceRAM = Real(required=False, help_text="GiB; 0: as saved.")
    enableParallel = Flag(required=False, help_text="Taken, without effect.")
    enableDraftModels = Flag(required=False, help_text="Taken, without effect.")
    enableRealtime = Flag(required=False, help_text="Taken, without effect.")
    maxSpeed = Flag(required=False, help_text="Taken, without effect.")

    def validate_minContext(self, value: int) -> int:
        return checked_context(value)

    def validate_preferredContext(self, value: int) -> int:
        return checked_context(value)


def checked_context(tokens: int) -> int:
    """`tokens`, when a model can be planned with so few. Raises ValidationError."""
    if 0 < tokens < LEAST_CONTEXT:
        raise serializers.ValidationError(f"must be at least {LEAST_CONTEXT}.")
    return tokens


class FolderSummary(serializers.Serializer[Any]):
    """What a folder held; further keys count files."""

    folder = serializers.CharField()
    status = serializers.CharField(help_text="success or error.")
    models = serializers.IntegerField()
    error = serializers.CharField(required=False)


def finished(run: ScanRun, seconds: float) -> ScanRun:
    """The run once it is done. Raises ApiError: 503 while it is not, 500 when it failed."""
    try:
        run = scan_waits.wait_for(run, seconds)
    except scan_waits.NotDone as error:
        raise ApiError(
            str(error), status=503, code=error.code, details=f"scan {run.pk}", runId=run.pk
        ) from error
    if run.status == ScanRun.Status.FAILED:
        raise ApiError(
            run.problem or "The scan failed.", status=500, code="SCAN_FAILED", runId=run.pk
        )
    return run


def system_of() -> dict[str, Any]:
    """What plans are made for: memory in GiB, the backend."""
    machine = hardware.current()
    wishes = preferences_of(ServerSettings.current())
    vram = sum(gpu.total for gpu in machine.gpus) if wishes.vram is None else wishes.vram
    ram = machine.ram.total if wishes.ram is None else wishes.ram
    return {
        "vram": _gib(vram),
        "ram": _gib(ram),
        "backend": wishes.backend or detection.backends(machine)[0],
    }


def _gib(count: int) -> float:
    return round(count / hardware.GIB, 1)


def wishes_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as preferences of `plans`, memory in bytes."""
    names = {
        "enableJinja": "enable_jinja",
        "throughputFirst": "throughput_first",
        "minContext": "min_context",
        "preferredContext": "preferred_context",
        "forceBackend": "backend",
    }
    wishes = {ours: options[name] for name, ours in names.items() if name in options}
    for name, ours in (("forceVRAM", "vram"), ("forceRAM", "ram")):
        if name in options:
            wishes[ours] = int(options[name] * hardware.GIB)
    return wishes
