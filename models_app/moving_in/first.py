"""The folder of ClaraCore's first implementation: config.yaml, settings.json, model_folders.json.

Its generated commands name its own engine; `configuration` says what becomes of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models_app import api_keys, system_settings
from models_app.machine import GIB
from models_app.moving_in import configuration
from models_app.moving_in.report import CannotMoveIn, Report
from models_app.moving_in.tracking import Show, track

_MOST_BYTES: Final = 16 * 1024**2
_WHOLE: Final = ("preferredContext", "minContext")
_GIB: Final = ("vramGB", "ramGB")
_FLAGS: Final = ("throughputFirst", "enableJinja", "requireApiKey")
_WORDS: Final = ("gpuType", "backend", "apiKey")
_BACKENDS: Final = ("cuda", "rocm", "vulkan", "metal", "cpu")
_LARGEST: Final = 1024**2 * GIB // GIB


def take(folder: Path, show: Show, *, tune: bool = False) -> Report:
    """Bring what the folder has. Raises CannotMoveIn when it has nothing of it."""
    report = Report()
    names = ("model_folders.json", "settings.json", "config.yaml")
    there = [name for name in names if (folder / name).is_file()]
    if not there:
        raise CannotMoveIn(f"{folder} has none of {', '.join(names)}.")
    if "settings.json" in there:
        _settings(_json(folder / "settings.json", report), report)
    if "model_folders.json" in there:
        _folders(_json(folder / "model_folders.json", report), report, show)
    if "config.yaml" in there:
        text = (folder / "config.yaml").read_text(encoding="utf-8", errors="replace")
        report.add(configuration.take(text, show, tune=tune))
    return report


def _json(file: Path, report: Report) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("it is far too large")
        value = json.loads(file.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        report.notes.append(f"{file.name} cannot be used: {error}. It was left out.")
        return {}
    return value


def _settings(values: Mapping[str, Any], report: Report) -> None:
    wanted: dict[str, Any] = {}
    for name, value in values.items():
        if _fits(name, value):
            wanted[name] = value
        elif value not in (None, "", 0, False):
            report.notes.append(f"settings.json: {name} means nothing here; it was left out.")
    if not wanted:
        return
    try:
        system_settings.save(wanted)
    except (system_settings.KeyNeeded, api_keys.KeyRejected) as error:
        report.notes.append(f"settings.json: {error} No setting was taken.")
        return
    report.done.append("settings: " + ", ".join(sorted(wanted)))


def _fits(name: str, value: Any) -> bool:
    if name in _FLAGS:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if name in _WHOLE:
        return isinstance(value, int) and 0 < value <= 2**31 - 1
    if name in _GIB:
        return isinstance(value, int | float) and 0 < value < _LARGEST
    if name == "backend":
        return value in _BACKENDS
    return name in _WORDS and isinstance(value, str) and bool(value)


def _folders(values: Mapping[str, Any], report: Report, show: Show) -> None:
    rows = values.get("folders")
    paths: dict[str, bool] = {}
    for row in rows if isinstance(rows, list) else ():
        path = row.get("path") if isinstance(row, dict) else None
        if not isinstance(path, str) or not path:
            continue
        if row.get("enabled") is False:
            report.notes.append(f"{path} was disabled; it is not tracked.")
        elif not os.path.isabs(path):
            report.notes.append(f"{path} is not an absolute path; it is not tracked.")
        else:
            paths[path] = row.get("recursive") is not False
    track(paths, report, show)
