"""What is served right now: models, queues, listeners, and the engines' processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from proxy_app.process import EngineState
from proxy_app.runner import Runner

ENGINE: Final = "engine "
"""What the name of an engine's process begins with; its model follows."""


def families(runner: Runner, live: int, listeners: int) -> Iterator[Metric]:
    """Gauges of the serving process. Called in its event loop."""
    state = GaugeMetricFamily(
        "claracore_model_state", "1 for the state a model is in.", labels=["model", "state"]
    )
    in_flight = GaugeMetricFamily(
        "claracore_requests_in_flight", "Requests an engine is serving.", labels=["model"]
    )
    queued = GaugeMetricFamily(
        "claracore_requests_queued", "Requests that wait for a model.", labels=["model"]
    )
    for status in runner.statuses():
        for name in EngineState:
            state.add_metric([status.model, str(name)], float(status.state is name))
        in_flight.add_metric([status.model], status.in_flight)
        queued.add_metric([status.model], status.queued)
    yield state
    yield in_flight
    yield queued
    yield _gauge("claracore_requests_live", "Requests that have not ended.", live)
    yield _gauge("claracore_event_listeners", "Clients on the event stream.", listeners)


def engine_pids(runner: Runner) -> dict[str, int]:
    """The processes of running engines, by model."""
    engines = ((model, runner.engine(model)) for model in runner.lineup.models)
    return {f"{ENGINE}{model}": engine.pid for model, engine in engines if engine and engine.pid}


def _gauge(name: str, text: str, value: float) -> Metric:
    gauge: Metric = GaugeMetricFamily(name, text, value=value)
    return gauge


def pages(elsewhere: int, here: int) -> Metric:
    """Pages of the web UI and the admin since the start, by the process that rendered them."""
    family = CounterMetricFamily(
        "claracore_pages", "Pages that were looked at, by the process.", labels=["process"]
    )
    family.add_metric(["pages"], elsewhere)
    family.add_metric(["server"], here)
    return family
