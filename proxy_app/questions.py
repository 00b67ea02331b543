"""What pages ask of the process that owns the engines, wherever they are rendered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from models_app.admin.live import LiveModel
from proxy_app import listing, logs, queues, ui_events
from proxy_app.errors import NotServing
from proxy_app.naming import resolve
from proxy_app.process import EngineState
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

LATELY_SECONDS: Final = 60.0
"""What counts as now, where a speed is told."""

_LABELS: Final[Mapping[EngineState, tuple[str, str]]] = {
    EngineState.STOPPED: ("Stopped", ""),
    EngineState.STARTING: ("Loading", "busy"),
    EngineState.READY: ("Ready", "good"),
    EngineState.STOPPING: ("Unloading", "busy"),
}
"""Each state's word, and how it is coloured."""


def live_models(runner: Runner) -> dict[str, LiveModel]:
    """What the runner knows of every model, for the admin."""
    return {status.model: _live(runner, status) for status in runner.statuses()}


def _live(runner: Runner, status: Any) -> LiveModel:
    label, tone = _LABELS[status.state]
    if status.problem and status.state is EngineState.STOPPED:
        tone = "bad"
    used = datetime.now(UTC).timestamp() if status.in_flight else runner.uses.of(status.model)
    return LiveModel(
        state=str(status.state),
        label=label,
        tone=tone,
        problem=status.problem,
        last_used=None if used is None else datetime.fromtimestamp(used, UTC),
    )


def statuses(runner: Runner) -> list[dict[str, Any]]:
    """All models as `modelStatus` events have them, and for how long they have been so."""
    return [{**status, **_elapsed(runner, status["id"])} for status in listing.statuses(runner)]


def _elapsed(runner: Runner, model: str) -> dict[str, Any]:
    engine = runner.engine(model)
    return {"elapsed": time.time() - engine.since} if engine else {}


def overview(runner: Runner) -> dict[str, Any]:
    """What pages about models and memory show; bytes by device in `needs`: planned, measured."""
    return {
        "statuses": statuses(runner),
        "needs": {model: _needs(runner, model) for model in runner.lineup.models},
        "devices": queues.memory(runner),
        "tokens_lately": _tokens_lately(),
    }


def _needs(runner: Runner, model: str) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    memory = runner.lineup.models[model].entry.memory
    planned = memory.planned if memory else None
    measured = runner.measured_need(model)
    return (
        None if planned is None else dict(planned),
        None if measured is None else dict(measured),
    )


def _tokens_lately() -> int:
    """Tokens that were generated within the last `LATELY_SECONDS`."""
    return SERVING.accounting.tokens.since(time.time() - LATELY_SECONDS)


def flush(runner: Runner) -> None:
    """Write down what ended until now, for a page that is about to read it."""
    SERVING.accounting.flush()


def loaded(runner: Runner) -> list[str]:
    """Ids of the models whose engines are up or on their way."""
    up = (EngineState.STARTING, EngineState.READY)
    return [status.model for status in runner.statuses() if status.state in up]


def live_requests(runner: Runner) -> list[dict[str, Any]]:
    """The requests under way, the oldest first. `arrived` is on the monotonic clock."""
    return [
        {
            "number": record.id,
            "model": record.model,
            "key_id": record.key_id,
            "person_id": record.person_id,
            "client": record.client,
            "path": record.path,
            "phase": record.phase,
            "at": record.at,
            "arrived": record.arrived,
            "pieces": record.pieces,
        }
        for record in SERVING.accounting.records.live.values()
    ]


def queue(runner: Runner) -> dict[str, Any]:
    """The queue, with what loading each model that is waited for would do, and all requests."""
    told = queues.queue(runner)
    for one in told["models"]:
        one.update(_elapsed(runner, one["model"]))
        one["plan"] = queues.load_plan(runner, one["model"]) if one["queued"] else None
    virtual = {name: resolve(runner, name).entry.model_id for name in runner.lineup.virtual}
    return {**told, "live": live_requests(runner), "virtual": virtual}


QUESTIONS: Final[Mapping[str, Callable[[Runner], Any]]] = {
    "live_models": live_models,
    "statuses": statuses,
    "loaded": loaded,
    "overview": overview,
    "flush": flush,
    "live_requests": live_requests,
    "queue": queue,
    "server_log": lambda runner: logs.server_log.text(),
    "live_version": lambda runner: ui_events.version(),
}
"""By name, as they go from process to process. Each is answered in the serving process's loop, at
once, and with what MessagePack can hold."""

_elsewhere: Callable[[str], Any] | None = None


def ask_elsewhere(ask: Callable[[str], Any] | None) -> None:
    """Have questions answered by another process: the one that owns the engines."""
    global _elsewhere
    _elsewhere = ask


def live_version() -> str:
    """The number of news so far, for a page that is about to be made (`ui_events.py`)."""
    if _elsewhere is not None:
        with suppress(NotServing):
            return str(_elsewhere("live_version"))
    return ui_events.version()


def ask(name: str) -> Any:
    """The answer to a question. Raises NotServing where nobody can be asked.

    From another process dataclasses come as dictionaries.
    """
    if _elsewhere is not None:
        return _elsewhere(name)

    async def look(runner: Runner) -> Any:
        return QUESTIONS[name](runner)

    return SERVING.call(look)
