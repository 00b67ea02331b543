"""What downloads do, for Prometheus; the serving app knows nothing of downloads."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Sum
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from downloads_app.models import Download


def families() -> Iterator[Metric]:
    """Downloads by status, and how fast those under way are."""
    states = GaugeMetricFamily("claracore_downloads", "Downloads by status.", labels=["status"])
    counts = dict(Download.objects.values_list("status").annotate(Count("pk")).order_by())
    for status in Download.Status:
        states.add_metric([str(status)], counts.get(status, 0))
    yield states
    running = Download.objects.filter(status=Download.Status.DOWNLOADING)
    sums = running.aggregate(speed=Sum("speed"), done=Sum("done_bytes"), total=Sum("total_bytes"))
    for name, text, value in (
        ("bytes_per_second", "How fast downloads under way are together.", sums["speed"]),
        ("done_bytes", "What downloads under way have got.", sums["done"]),
        ("total_bytes", "What downloads under way come to, as far as is known.", sums["total"]),
    ):
        yield GaugeMetricFamily(f"claracore_download_{name}", text, value=value or 0)
