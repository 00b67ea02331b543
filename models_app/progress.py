"""How far setting up models has got, as the API and its events tell it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

NEVER: Final = "0001-01-01T00:00:00Z"
"""What existing clients read as a time that has not come."""

_LOOKED: Final = 10.0
_READ: Final = 95.0
"""Percent when the folders were walked, and when all files were read."""

_WAITS: Final = "Waiting for the background worker, which may still be starting"

COLUMNS: Final = (
    "id",
    "status",
    "step",
    "current",
    "total",
    "processed",
    "problem",
    "created_at",
    "heartbeat_at",
    "finished_at",
)
"""Columns of a scan's row that the functions below need."""


def percent(run: Mapping[str, Any]) -> float:
    """From 0 to 100. A scan that failed stays where it was."""
    if run["status"] == "completed":
        return 100.0
    if not run["total"]:
        return _LOOKED / 2 if run["step"] else 0.0
    share: float = min(run["processed"], run["total"]) / run["total"]
    return round(_LOOKED + share * (_READ - _LOOKED), 1)


def setup_progress(run: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answer of /api/setup/progress for the newest scan; None before the first."""
    if run is None:
        return {
            "status": "idle",
            "current_step": "",
            "progress": 0.0,
            "total_models": 0,
            "processed_models": 0,
            "current_model": "",
            "error": None,
            "completed": False,
            "started_at": NEVER,
            "updated_at": NEVER,
            "id": None,
        }
    failed = run["status"] == "failed"
    done = run["status"] == "completed"
    updated = run["finished_at"] or run["heartbeat_at"] or run["created_at"]
    return {
        "status": "completed" if done else "error" if failed else "processing",
        "current_step": run["step"] or _WAITS,
        "progress": percent(run),
        "total_models": run["total"],
        "processed_models": run["processed"],
        "current_model": run["current"],
        "error": (run["problem"] or "The scan failed.") if failed else None,
        "completed": done,
        "started_at": rfc3339(run["created_at"]),
        "updated_at": rfc3339(updated),
        "id": run["id"],
    }


def config_progress(run: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a configProgress event."""
    stages = {
        "completed": "Configuration generated successfully",
        "failed": f"Failed: {run['problem']}",
    }
    return {
        "stage": stages.get(run["status"]) or run["step"] or _WAITS,
        "currentModel": run["current"],
        "current": run["processed"],
        "total": run["total"],
        "percentageComplete": percent(run),
    }


def rfc3339(moment: datetime | None) -> str:
    """A time as the API writes it; `NEVER` for None."""
    return moment.isoformat().replace("+00:00", "Z") if moment else NEVER
