"""The settings that clients read and save as one object, and their options for one act.

What a client leaves out stays as it is. Memory is in GiB; 0 and "" mean "leave it", as existing
clients send them for what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from models_app import api_keys, detection, hardware
from models_app.machine import GIB
from models_app.models import ServerSettings

_COLUMN: Final = {
    "gpuType": "gpu_type",
    "backend": "backend",
    "vramGB": "vram_gb",
    "ramGB": "ram_gb",
    "preferredContext": "preferred_context",
    "minContext": "min_context",
    "throughputFirst": "throughput_first",
    "enableJinja": "enable_jinja",
}
_OPTION: Final = {
    "forceBackend": "backend",
    "forceVRAM": "vram_gb",
    "forceRAM": "ram_gb",
    "preferredContext": "preferred_context",
    "minContext": "min_context",
    "throughputFirst": "throughput_first",
    "enableJinja": "enable_jinja",
}


class KeyNeeded(ValueError):
    """An API key was to be required while there is none."""


def shown() -> dict[str, Any]:
    """What was saved, filled in with what was detected. The key itself is never told."""
    row = ServerSettings.current()
    machine = hardware.current()
    gpus = detection.counted_gpus(machine)
    vram = sum(gpu.total for gpu in gpus) / GIB
    return {
        "gpuType": row.gpu_type or (gpus[0].vendor if gpus else "cpu"),
        "backend": row.backend or detection.backends(machine)[0],
        "vramGB": round(vram, 1) if row.vram_gb is None else row.vram_gb,
        "ramGB": round(machine.ram.total / GIB, 1) if row.ram_gb is None else row.ram_gb,
        "preferredContext": row.preferred_context,
        "minContext": row.min_context,
        "throughputFirst": row.throughput_first,
        "enableJinja": row.enable_jinja,
        "requireApiKey": row.require_api_key,
        "apiKeyConfigured": api_keys.has_shared(),
    }


def save(values: Mapping[str, Any]) -> None:
    """Save what `values` holds; None is "detect it again" where that can be.

    Raises KeyNeeded, and api_keys.KeyRejected for a key that nobody could send.
    """
    with transaction.atomic():
        _write({_COLUMN[name]: value for name, value in values.items() if name in _COLUMN})
        if key := values.get("apiKey"):
            api_keys.set_shared(key)
        if values.get("requireApiKey") and not api_keys.has_shared():
            raise KeyNeeded("requireApiKey=true needs a non-empty apiKey")
        if (required := values.get("requireApiKey")) is not None:
            api_keys.require(required)


def save_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Save the options of a set-up as settings; the names of those that mean nothing here.

    The configuration is worked out from the settings whenever it is built, so an option that was
    not saved would act until the next change only.
    """
    _write({_OPTION[name]: value for name, value in options.items() if name in _OPTION})
    return tuple(sorted(options.keys() - _OPTION.keys()))


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a client really set: no 0 and no "", which stand for "as saved"."""
    return {name: value for name, value in options.items() if value is False or value}


def _write(columns: Mapping[str, Any]) -> None:
    row = ServerSettings.objects.select_for_update().get(pk=ServerSettings.current().pk)
    changed = []
    for name, value in columns.items():
        if value is None:
            value = getattr(ServerSettings(), name)
        elif value in ("", 0) and not isinstance(value, bool):
            continue
        if getattr(row, name) != value:
            setattr(row, name, value)
            changed.append(name)
    if changed:
        row.save(update_fields=changed)
