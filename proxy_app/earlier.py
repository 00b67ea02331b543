"""The newest requests of an earlier run, so that listeners find them again after a restart."""

from __future__ import annotations

from typing import Any

from proxy_app.accounting import NEWEST_KEPT
from proxy_app.entries import Entry, metric_of
from proxy_app.models import UsageRow

_FIGURES = (
    "model",
    "path",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "prompt_per_second",
    "tokens_per_second",
    "prompt_ms",
    "generation_ms",
    "total_ms",
)


def newest_metrics() -> list[dict[str, Any]]:
    """As the event stream has them, oldest first, numbered from 0."""
    rows = UsageRow.objects.order_by("-at", "-pk").values("at", *_FIGURES)[:NEWEST_KEPT]
    metrics: list[dict[str, Any]] = []
    for row in reversed(list(rows)):
        figures = {name: row[name] for name in _FIGURES}
        entry = Entry(at=row["at"].timestamp(), number=len(metrics), **figures)
        if (metric := metric_of(entry)) is not None:
            metrics.append(metric)
    return metrics
