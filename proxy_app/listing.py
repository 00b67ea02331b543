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
    """All listed models, virtual ones among them, sorted by id."""
    entries = [served.entry for served in lineup.models.values()]
    entries += [_virtual(name, members) for name, members in lineup.virtual.items()]
    return {
        "object": "list",
        "data": [model(entry, created) for entry in sorted(entries, key=_id) if not entry.unlisted],
    }


def find(lineup: Lineup, name: str, created: int) -> dict[str, Any]:
    """One model by any of its names. Raises ModelNotFound."""
    if name in lineup.virtual:
        return model(_virtual(name, lineup.virtual[name]), created)
    return model(lineup.resolve(name).entry, created)


def _virtual(name: str, members: tuple[str, ...]) -> ModelEntry:
    """Its members are named as far as the line-up shows them."""
    told = f"The first that is loaded of {', '.join(members)}" if members else ""
    return ModelEntry(name, description=told)


def info(runner: Runner) -> dict[str, Any]:
    """Every model with where its engine is; both are empty while it has none."""
    found = []
    for model, served in sorted(runner.lineup.models.items()):
        engine = runner.engine(model)
        port = str(engine.port) if engine is not None and engine.port else ""
        found.append(
            {
                "model": model,
                "port": port,
                "proxy": served.launch.proxy.replace("${PORT}", port)
                if served.launch and port
                else "",
                "running": runner.state(model) is EngineState.READY,
                "name": served.entry.name,
                "description": served.entry.description,
            }
        )
    return {"models": found, "total": len(found)}


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
