"""`/metrics` as Prometheus reads it, and every query of the dashboard in docs/."""

from __future__ import annotations

import json
import math
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.server import ROOT, RunningServer, free_port, running_server, wait_until

pytestmark = pytest.mark.engine

DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"
PROGRAM = "prometheus"


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.fixture(scope="module")
def server(models_folder: Path) -> Iterator[RunningServer]:
    with running_server(models_folder) as running:
        running.wait_for_models("fox")
        yield running


@dataclass
class Prometheus:
    url: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        reply = requests.get(f"{self.url}/api/v1/query", {"query": query}, timeout=60).json()
        assert reply["status"] == "success", reply
        result: list[dict[str, Any]] = reply["data"]["result"]
        return result

    def has_data(self, query: str) -> bool:
        """Whether there is a number, and not only the absence of one."""
        return any(not math.isnan(float(one["value"][1])) for one in self.ask(query))


@contextmanager
def scraping(server: RunningServer, folder: Path) -> Iterator[Prometheus]:
    """Debian's Prometheus, reading the server's page once a second."""
    target = server.url.removeprefix("http://")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: claracore, static_configs: [{{targets: ['{target}']}}]}}\n"
    )
    port = free_port()
    log = (folder / "prometheus.log").open("wb")
    process = subprocess.Popen(
        [
            PROGRAM,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


@contextmanager
def load(server: RunningServer) -> Iterator[None]:
    """One request after the other, so that rates have something to show."""
    over = threading.Event()

    def ask() -> None:
        body = {"model": "fox", "prompt": "Go on"}
        while not over.is_set():
            requests.post(f"{server.url}/v1/completions", json=body, timeout=120)
            over.wait(0.2)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=120)


def page(server: RunningServer) -> dict[str, Any]:
    reply = requests.get(f"{server.url}/metrics", timeout=60)
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(reply.text)}


def test_every_part_of_the_page_is_there(server: RunningServer) -> None:
    """llama-swap#262: one /metrics for all models, with a label."""
    body = {"model": "fox", "prompt": "Go on"}
    assert requests.post(f"{server.url}/v1/completions", json=body, timeout=120).ok
    families = page(server)
    up = {one.labels["source"]: one.value for one in families["claracore_source_up"].samples}
    assert up == dict.fromkeys(("usage", "serving", "engines", "machine", "jobs"), 1)
    # The engine's own, with the name of its model.
    merged = families["llamacpp_requests_processing"].samples
    assert [one.labels for one in merged] == [{"model": "fox"}]
    processes = families["claracore_process_resident_bytes"].samples
    assert {one.labels["process"] for one in processes} >= {"server", "worker", "engine fox"}
    assert {one.labels["status"] for one in families["claracore_downloads"].samples}


def test_the_dashboard_asks_for_nothing_that_is_not_there(
    server: RunningServer, tmp_path: Path
) -> None:
    with load(server), scraping(server, tmp_path) as prometheus:
        wait_until(lambda: _answers(prometheus), "Prometheus")
        for query in queries():
            wait_until(lambda query=query: prometheus.has_data(query), f"data for {query}")


def _answers(prometheus: Prometheus) -> bool:
    try:
        return prometheus.has_data("rate(claracore_requests_total[1m]) > 0")
    except requests.RequestException:
        return False
