"""What is loaded, who waits and what a load would do, as plain values for clients.

Sizes are in bytes, times in seconds; null is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy_app.forecast import Forecast, LoadPlan, Place

if TYPE_CHECKING:
    from proxy_app.lease import ModelStatus
    from proxy_app.runner import Runner

NOTHING: dict[str, Any] = {"waiting": 0, "models": []}


def summary(runner: Runner) -> dict[str, Any]:
    """How many wait for which model, and how long a request that came now would."""
    forecast = runner.forecast()
    models = [
        {
            "model": status.model,
            "state": str(status.state),
            "inFlight": status.in_flight,
            "queued": status.queued,
            "expectedWaitSeconds": _rounded(forecast.next_in_line(status.model)),
        }
        for status in runner.statuses()
        if status.queued
    ]
    return {"waiting": sum(one["queued"] for one in models), "models": models}


def queue(runner: Runner) -> dict[str, Any]:
    """Every model that is loaded or waited for, with all who wait, in turn."""
    forecast = runner.forecast()
    models = [
        _queue_of(status, runner, forecast)
        for status in runner.statuses()
        if status.queued or forecast.load(status.model).loaded
    ]
    policy = runner.lineup.policy
    return {
        "waiting": sum(one["queued"] for one in models),
        "models": models,
        "memory": memory(runner),
        "maxWaitSeconds": policy.max_wait,
        "minResidencySeconds": policy.min_residency,
    }


def memory(runner: Runner) -> list[dict[str, Any]]:
    """Each device's budget, and what loaded models hold of it."""
    held = runner.held()
    budget = runner.lineup.policy.budget
    return [
        {"device": device, "budget": budget[device], "held": held.get(device, 0)}
        for device in sorted(budget)
    ]


def models(runner: Runner) -> list[dict[str, Any]]:
    """Every served model, sorted by id."""
    forecast = runner.forecast()
    return [_model(status, runner, forecast) for status in runner.statuses()]


def load_plan(runner: Runner, model: str) -> dict[str, Any]:
    """What loading a model now would do."""
    plan: LoadPlan = runner.forecast().load(model)
    need = runner.lineup.policy.models[model].need
    return {
        "model": model,
        "loaded": plan.loaded,
        "fits": plan.fits,
        "evicts": list(plan.evicts),
        "waitsFor": list(plan.waits_for),
        "behind": list(plan.behind),
        "loadSeconds": _rounded(plan.load_seconds),
        "readyInSeconds": _rounded(plan.ready_in),
        "need": dict(need) or None,
        "memory": memory(runner),
    }


def _queue_of(status: ModelStatus, runner: Runner, forecast: Forecast) -> dict[str, Any]:
    limits = runner.lineup.policy.models[status.model]
    return {
        "model": status.model,
        "state": str(status.state),
        "inFlight": status.in_flight,
        "concurrency": limits.concurrency,
        "queued": status.queued,
        "queueLength": limits.queue,
        "priority": limits.priority,
        "loadSeconds": _rounded(forecast.history.loads.of(status.model)),
        "answerSeconds": _rounded(forecast.answer_seconds(status.model)),
        "readyInSeconds": _rounded(forecast.ready_in(status.model)),
        "expectedWaitSeconds": _rounded(forecast.next_in_line(status.model)),
        "requests": [_place(place) for place in forecast.queue(status.model)],
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "position": place.position,
        "caller": place.ticket.caller,
        "priority": place.ticket.priority,
        "waitedSeconds": _rounded(place.waited),
        "expectedWaitSeconds": _rounded(place.expected),
    }


def _model(status: ModelStatus, runner: Runner, forecast: Forecast) -> dict[str, Any]:
    entry = runner.lineup.models[status.model].entry
    limits = runner.lineup.policy.models[status.model]
    planned = entry.memory.planned if entry.memory else None
    measured = runner.measured_need(status.model)
    return {
        "id": status.model,
        "name": entry.name,
        "description": entry.description,
        "aliases": list(entry.aliases),
        "unlisted": entry.unlisted,
        "state": str(status.state),
        "problem": status.problem,
        "inFlight": status.in_flight,
        "concurrency": limits.concurrency,
        "queued": status.queued,
        "queueLength": limits.queue,
        "priority": limits.priority,
        "pinned": limits.pinned,
        "group": runner.lineup.policy.groups.group(status.model).name,
        "ttl": limits.ttl,
        "ttlLeftSeconds": _rounded(forecast.expires_in(status.model)),
        "loadSeconds": _rounded(forecast.history.loads.of(status.model)),
        "readyInSeconds": _rounded(forecast.ready_in(status.model)),
        "expectedWaitSeconds": _rounded(forecast.next_in_line(status.model)),
        "memory": {"planned": _sizes(planned), "measured": _sizes(measured)},
    }


def _sizes(need: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if need is None else dict(need)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
