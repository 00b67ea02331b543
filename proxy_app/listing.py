"""Lists of models for clients, as plain values (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models_app.document import ModelEntry
from proxy_app.lineup import Lineup
from proxy_app.process import EngineState

if TYPE_CHECKING:
    from proxy_app.runner import Runner


def model(entry: ModelEntry, created: int) -> dict[str, Any]:
    """One model in OpenAI's shape. `created` is in seconds since 1970."""
    item: dict[str, Any] = {
        "id": entry.model_id,
        "object": "model",
        "created": created,
        "owned_by": "claracore",
        "permission": [],
        "root": entry.model_id,
        "parent": None,
    }
    if entry.name.strip():
        item["name"] = entry.name.strip()
    if entry.description.strip():
        item["description"] = entry.description.strip()
    return item


def models(lineup: Lineup, created: int) -> dict[str, Any]:
    """All listed models, sorted by id."""
    entries = sorted((served.entry for served in lineup.models.values()), key=_id)
    return {
        "object": "list",
        "data": [model(entry, created) for entry in entries if not entry.unlisted],
    }


def running(runner: Runner) -> dict[str, Any]:
    """The models that can answer at once."""
    return {
        "running": [
            {"model": status.model, "state": "ready"}
            for status in runner.statuses()
            if status.state is EngineState.READY
        ]
    }


def statuses(runner: Runner) -> list[dict[str, Any]]:
    """Every model with its state, as the event stream's `modelStatus` sends it."""
    entries = runner.lineup.models
    return [
        {
            "id": status.model,
            "name": entries[status.model].entry.name,
            "description": entries[status.model].entry.description,
            "state": str(status.state),
            "unlisted": entries[status.model].entry.unlisted,
            "proxyUrl": f"/upstream/{status.model}",
            "inFlight": status.in_flight,
            "queued": status.queued,
            "problem": status.problem,
        }
        for status in runner.statuses()
    ]


def _id(entry: ModelEntry) -> str:
    return entry.model_id
