from __future__ import annotations

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy_app.prometheus.engines import merged

PAGE = """# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total {count}
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing{{slot="1"}} {count}
"""
ODD = 'quo"te\\back\nline'


class _Found:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def test_engines_are_told_apart_by_their_models_whatever_they_are_called() -> None:
    found = merged({"fox": PAGE.format(count=3), ODD: PAGE.format(count=5)})
    registry = CollectorRegistry()
    registry.register(_Found(found))
    page = generate_latest(registry).decode()
    assert page.count("# TYPE llamacpp_requests_processing gauge") == 1
    samples = {
        (sample.name, sample.labels["model"]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples == {
        ("llamacpp_tokens_predicted_total", "fox"): 3,
        ("llamacpp_tokens_predicted_total", ODD): 5,
        ("llamacpp_requests_processing", "fox"): 3,
        ("llamacpp_requests_processing", ODD): 5,
    }


def test_a_page_that_is_none_is_left_out() -> None:
    found = merged({"fox": PAGE.format(count=3), "sea": "<html>{not metrics"})
    models = {sample.labels["model"] for family in found for sample in family.samples}
    assert models == {"fox"}
