"""Background work: scans, and whatever other apps add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.db.models import Count
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from models_app.models import ScanRun

SOURCES: list[Callable[[], Iterable[Metric]]] = []
"""Further metrics; who wires the apps together adds them here."""

_UNDER_WAY = (ScanRun.Status.QUEUED, ScanRun.Status.RUNNING)


def families() -> Iterator[Metric]:
    """Jobs by status, and how long a running one has been silent."""
    jobs = GaugeMetricFamily("claracore_scans", "Scans by status.", labels=["status"])
    counts = dict(ScanRun.objects.values_list("status").annotate(Count("pk")).order_by())
    for status in ScanRun.Status:
        jobs.add_metric([str(status)], counts.get(status, 0))
    yield jobs
    silent = GaugeMetricFamily(
        "claracore_scan_silent_seconds", "Since the running scan was last heard of."
    )
    beat = ScanRun.objects.filter(status__in=_UNDER_WAY, heartbeat_at__isnull=False)
    newest = beat.values_list("heartbeat_at", flat=True).order_by("-pk").first()
    if newest is not None:
        silent.add_metric([], max(0.0, (timezone.now() - newest).total_seconds()))
    yield silent
    for source in SOURCES:
        yield from source()
