"""Requests, tokens and times, from the counts that the worker keeps in the database.

They lag about a second behind, cost the gateway nothing, and go on over restarts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Sum
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from proxy_app.counting import DURATIONS, LABELS, STATUS
from proxy_app.models import UsageCount, UsageDay

_SUMS = {
    "tokens_in": ("claracore_prompt_tokens", "Tokens of prompts, cached ones included."),
    "tokens_cached": ("claracore_cached_prompt_tokens", "Tokens taken from the prompt cache."),
    "tokens_out": ("claracore_generated_tokens", "Tokens that models generated."),
    "engine_seconds": (
        "claracore_engine_seconds",
        "Time engines worked, each second shared by the requests served in it.",
    ),
    "gpu_seconds": ("claracore_gpu_seconds", "The same, times the GPUs that were used."),
}
_HELP = {
    "queue": "Time requests waited for their turn.",
    "load": "Time requests waited for their model to load.",
    "first_token": "Time until the answer's first piece.",
    "request": "Time until the answer's end.",
}

Counts = dict[tuple[str, str], dict[str, tuple[int, float]]]
"""(model, what) -> class -> how many, and their seconds together."""


def families() -> Iterator[Metric]:
    """Counters and histograms of all models."""
    totals = {column: Sum(column) for column in _SUMS}
    sums: list[Any] = list(UsageDay.objects.values("model").annotate(**totals).order_by())
    for column, (name, text) in _SUMS.items():
        counter = CounterMetricFamily(name, text, labels=["model"])
        for row in sums:
            counter.add_metric([row["model"]], row[column] or 0)
        yield counter
    yield from count_families(
        UsageCount.objects.values_list("model", "name", "label", "count", "total")
    )


def count_families(rows: Iterable[tuple[str, str, str, int, float]]) -> Iterator[Metric]:
    """The counts as metrics: requests by status, and a histogram a duration."""
    counts: Counts = defaultdict(dict)
    for model, name, label, count, total in rows:
        counts[model, name][label] = (count, total)
    requests = CounterMetricFamily(
        "claracore_requests", "Requests by HTTP status.", labels=["model", "status"]
    )
    for (model, name), classes in counts.items():
        if name == STATUS:
            for status, (count, _) in classes.items():
                requests.add_metric([model, status], count)
    yield requests
    for duration in DURATIONS:
        histogram = HistogramMetricFamily(
            f"claracore_{duration}_seconds", _HELP[duration], labels=["model"]
        )
        for (model, name), classes in counts.items():
            if name == duration:
                histogram.add_metric([model], _cumulated(classes), _seconds(classes))
        yield histogram


def _cumulated(classes: dict[str, tuple[int, float]]) -> list[tuple[str, float]]:
    buckets, so_far = [], 0
    for label in LABELS:
        so_far += classes.get(label, (0, 0.0))[0]
        buckets.append((label, float(so_far)))
    return buckets


def _seconds(classes: dict[str, tuple[int, float]]) -> float:
    return sum(total for _, total in classes.values())
