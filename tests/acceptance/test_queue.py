"""Queues, memory and loads over REST, with real engines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server import ROOT, RunningServer, clean_environment, running_server, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(models_folder: Path) -> Iterator[RunningServer]:
    with running_server(models_folder) as running:
        running.wait_for_models("fox", "sea", "numbers", "endless", "letters")
        change(running, "ServedModel", "model_id='endless'", "concurrency_limit=1, queue_length=1")
        wait_until(lambda: model(running, "endless")["queueLength"] == 1, "the queue's length")
        yield running


def change(server: RunningServer, table: str, where: str, values: str) -> None:
    """As the admin does it: in the database, from another process."""
    code = f"from models_app.models import {table} as t; t.objects.filter({where}).update({values})"
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT,
        env=clean_environment(server.home),
        check=True,
        capture_output=True,
    )


def get(server: RunningServer, path: str) -> Any:
    reply = requests.get(f"{server.url}{path}", timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def model(server: RunningServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in get(server, "/api/models")["models"] if one["id"] == name
    )
    return found


def ready(server: RunningServer) -> set[str]:
    return {one["id"] for one in get(server, "/api/models")["models"] if one["state"] == "ready"}


def act(server: RunningServer, path: str) -> requests.Response:
    return requests.post(f"{server.url}/api/models/{path}", timeout=120)


def stream(server: RunningServer) -> requests.Response:
    body = {"model": "endless", "prompt": "Go on", "stream": True, "max_tokens": -1}
    return requests.post(f"{server.url}/v1/completions", json=body, stream=True, timeout=120)


def test_it_says_what_a_load_would_do_and_does_nothing(server: RunningServer) -> None:
    act(server, "unload?force=1")
    assert act(server, "sea/load").ok
    plan = get(server, "/api/models/fox/load")
    assert (plan["fits"], plan["loaded"], plan["evicts"]) == (True, False, ["sea"])
    assert plan["need"]["CPU"] > 0
    budgets = {one["device"]: one for one in plan["memory"]}
    assert 0 < budgets["CPU"]["held"] < budgets["CPU"]["budget"]
    assert act(server, "fox/load?dry_run=1").json()["evicts"] == ["sea"]
    assert ready(server) == {"sea"}


def test_a_model_shows_its_memory_and_how_long_it_takes_to_load(server: RunningServer) -> None:
    assert act(server, "fox/load").ok
    wait_until(lambda: model(server, "fox")["memory"]["measured"], "the measurement", server.said)
    shown = model(server, "fox")
    assert shown["state"] == "ready"
    assert shown["memory"]["planned"]["CPU"] > 0
    assert shown["memory"]["measured"]["CPU"] > 0
    assert shown["loadSeconds"] > 0
    assert 0 < shown["ttlLeftSeconds"] <= shown["ttl"]
    assert act(server, "fox/unload").ok
    assert model(server, "fox")["state"] == "stopped"


def test_who_waits_is_known_and_a_full_queue_says_when_to_come_back(
    server: RunningServer,
) -> None:
    """Regression: ollama#2004, the state of the queue was asked for."""
    events = requests.get(f"{server.url}/api/events", stream=True, timeout=120)
    told = queue_events(events)
    assert next(told) == {"waiting": 0, "models": []}
    with stream(server) as first:
        lines = first.iter_lines()  # kept, for the connection ends with it
        assert next(lines)
        body = {"model": "endless", "prompt": "Go", "max_tokens": 1}
        waiting = subprocess.Popen(
            [sys.executable, "-c", _POST, f"{server.url}/v1/completions", json.dumps(body)]
        )
        try:
            wait_until(lambda: get(server, "/api/queue")["waiting"] == 1, "a waiter", server.said)
            queues = {one["model"]: one for one in get(server, "/api/queue")["models"]}
            queue = queues["endless"]  # Others may be loaded, too.
            assert (queue["inFlight"], queue["queued"]) == (1, 1)
            assert [one["position"] for one in queue["requests"]] == [1]
            # The stream waited itself for its model, a moment before this one.
            beside = next(one for one in told if one["waiting"] and one["models"][0]["inFlight"])
            assert beside["waiting"] == 1
            refused = requests.post(f"{server.url}/v1/completions", json=body, timeout=60)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        finally:
            first.close()
            assert waiting.wait(timeout=120) == 0
    events.close()
    assert get(server, "/api/queue")["waiting"] == 0


_POST = """
import json, sys, requests
sys.exit(not requests.post(sys.argv[1], json=json.loads(sys.argv[2]), timeout=110).ok)
"""


def queue_events(events: requests.Response) -> Iterator[dict[str, Any]]:
    for line in events.iter_lines(chunk_size=1):
        if line.startswith(b"data:"):
            message = json.loads(line.removeprefix(b"data:"))
            if message["type"] == "queue":
                yield json.loads(message["data"])


def test_models_stay_beside_each_other_when_that_is_wanted_and_they_fit(
    server: RunningServer,
) -> None:
    act(server, "unload?force=1")
    change(server, "ServerSettings", "pk=1", "side_by_side=True")
    wait_until(
        lambda: act(server, "sea/load").ok and not get(server, "/api/models/fox/load")["evicts"],
        "the setting",
        server.said,
    )
    assert act(server, "fox/load").ok
    assert ready(server) == {"fox", "sea"}
    change(server, "ServerSettings", "pk=1", "side_by_side=False")
    wait_until(lambda: get(server, "/api/models/numbers/load")["evicts"], "the setting")
    assert act(server, "numbers/load").ok
    assert ready(server) == {"numbers"}


def test_a_pinned_model_is_loaded_by_itself_and_stays(server: RunningServer) -> None:
    change(server, "ServedModel", "model_id='letters'", "pinned=True")
    wait_until(lambda: "letters" in ready(server), "the pinned model", server.said)
    for name in ("fox", "sea"):
        assert act(server, f"{name}/load").ok
        assert ready(server) == {"letters", name}
    assert model(server, "letters")["ttl"] == 0
    change(server, "ServedModel", "model_id='letters'", "pinned=False")
