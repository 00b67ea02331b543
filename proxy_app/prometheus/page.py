"""Puts the page together from its sources; one that fails is left out and said."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models_app.access import keeps_within_reach, needs, rights_of
from models_app.rights import Scope
from models_app.within_reach import looked_after
from proxy_app.errors import NotServing
from proxy_app.prometheus import engines, jobs, machine, serving, usage
from proxy_app.prometheus.serving import ENGINE
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

logger = logging.getLogger(__name__)


class _Page(Collector):
    def __init__(self, may_see: Callable[[str], bool]) -> None:
        """`may_see` tells of a model's id whether it may be named."""
        self._may_see = may_see

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "claracore_source_up",
            "1 for each part of this page that could be read.",
            labels=["source"],
        )
        for name, read in _SOURCES.items():
            try:
                families = list(read())
            except NotServing:
                continue  # A process without engines.
            except (DatabaseError, OSError, RuntimeError) as error:
                logger.warning("The metrics of %s are missing: %s", name, error)
                up.add_metric([name], 0)
            else:
                up.add_metric([name], 1)
                yield from (self._within(family) for family in families)
        yield up

    def _within(self, family: Metric) -> Metric:
        """Without the samples of models that may not be named."""
        family.samples = [
            sample for sample in family.samples if self._may_see(_model_of(sample.labels))
        ]
        return family


def _model_of(labels: dict[str, str]) -> str:
    """The model that a sample is of; empty for none."""
    name, process = labels.get("model", ""), labels.get("process", "")
    return name or (process[len(ENGINE) :] if process.startswith(ENGINE) else "")


def _serving() -> Iterable[Metric]:
    async def read(runner: Runner) -> tuple[list[Metric], dict[str, int]]:
        live, listeners = len(SERVING.accounting.records.live), SERVING.hub.listeners
        found = list(serving.families(runner, live, listeners))
        return found, serving.engine_pids(runner)

    found, pids = SERVING.call(read)
    processes = {"server": os.getpid(), **SERVING.worker_pids, **pids}
    pages = serving.pages(SERVING.pages.rendered, SERVING.pages.left)
    return [*found, pages, *machine.process_families(processes)]


def _engines() -> Iterable[Metric]:
    return engines.merged(SERVING.call(engines.read))


_SOURCES: dict[str, Callable[[], Iterable[Metric]]] = {
    "usage": usage.families,
    "serving": _serving,
    "engines": _engines,
    "machine": lambda: machine.families(settings.CLARACORE_HOME),
    "jobs": jobs.families,
}


@needs(Scope.MANAGE)
@keeps_within_reach
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """GET /metrics: of all models, or of those that whoever asks looks after."""
    sees = looked_after(rights_of(request))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(lambda model: not model or sees(model)))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
