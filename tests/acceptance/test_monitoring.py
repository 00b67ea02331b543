"""What can be seen of requests and models while a real server serves them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.listening import listening
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(models_folder: Path) -> Iterator[RunningServer]:
    with running_server(models_folder) as running:
        running.wait_for_models("fox", "sea", "numbers", "endless", "letters")
        yield running


def get(server: RunningServer, path: str) -> Any:
    reply = requests.get(f"{server.url}{path}", timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def ask(server: RunningServer, model: str, **more: Any) -> requests.Response:
    body = {"model": model, "prompt": "Go on", **more}
    stream = bool(more.get("stream"))
    return requests.post(f"{server.url}/v1/completions", json=body, stream=stream, timeout=120)


def begin_endless(server: RunningServer) -> tuple[requests.Response, Iterator[bytes]]:
    """A stream that goes on until somebody ends it, with its first piece read."""
    reply = ask(server, "endless", stream=True, max_tokens=-1)
    pieces = reply.iter_content(None)
    assert next(pieces)
    return reply, pieces


def live(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(server, "/api/requests/live")["requests"]
    return found


def newest(server: RunningServer, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = get(server, f"/api/requests?limit=1{query}")["requests"][0]
    return found


def test_a_request_is_found_by_the_id_that_its_answer_carries(server: RunningServer) -> None:
    body = {"model": "fox", "prompt": "Go on"}
    for headers in ({}, {"X-Request-ID": "trace-7"}):
        reply = requests.post(
            f"{server.url}/v1/completions", json=body, headers=headers, timeout=120
        )
        told = reply.headers["X-Request-ID"]
        assert told == headers.get("X-Request-ID", told)
        found = get(server, f"/api/requests?requestId={told}")["requests"]
        assert [row["requestId"] for row in found] == [told]


def test_metrics_have_the_documented_shape_and_the_request_just_made(
    server: RunningServer,
) -> None:
    assert ask(server, "fox").ok
    metrics = get(server, "/api/metrics")
    fox = next(one for one in metrics if one["modelId"] == "fox")
    assert fox.keys() == {
        "modelId",
        "requestCount",
        "avgResponseTime",
        "tokensPerSecond",
        "lastActivity",
        "memoryUsage",
    }
    assert fox["requestCount"] >= 1
    assert fox["avgResponseTime"] > 0
    assert fox["tokensPerSecond"] > 0
    assert fox["lastActivity"].endswith("Z")
    assert fox["memoryUsage"] > 1_000_000
    unused = next(one for one in metrics if one["modelId"] == "letters")
    assert unused["memoryUsage"] == 0


def test_a_request_shows_where_its_time_went(server: RunningServer) -> None:
    requests.post(f"{server.url}/api/models/unload", timeout=60)
    assert ask(server, "sea", stream=True).text.endswith("data: [DONE]\n\n")
    request = newest(server)
    assert (request["model"], request["status"], request["error"]) == ("sea", 200, "")
    assert request["streamed"]
    assert request["tokensIn"] > 0
    assert request["tokensOut"] > 5
    timeline = request["timeline"]
    assert timeline["loadMs"] > 0
    assert timeline["promptMs"] > 0
    assert timeline["generationMs"] > 0
    parts = timeline["queueMs"] + timeline["loadMs"]
    assert parts <= timeline["firstTokenMs"] <= timeline["totalMs"]
    assert request["engineSeconds"] > 0
    assert request["gpuSeconds"] == 0  # There is none here.


def test_requests_are_filtered_and_paged(server: RunningServer) -> None:
    for _ in range(3):
        assert ask(server, "fox").ok
    # The engine's own refusal is a row too.
    assert ask(server, "fox", n_predict="many").status_code == 400
    assert {one["model"] for one in get(server, "/api/requests?model=fox")["requests"]} == {"fox"}
    assert newest(server, "&status=failed")["status"] == 400
    assert newest(server, "&status=4xx")["status"] == 400
    assert newest(server, "&status=200")["status"] == 200
    assert get(server, "/api/requests?path=/v1/chat")["requests"] == []
    assert get(server, "/api/requests?until=2020-01-01T00:00:00Z")["requests"] == []
    assert get(server, "/api/requests?key=none&since=0")["requests"]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get(server, f"/api/requests?limit=2&cursor={cursor}")
        seen += [one["id"] for one in page["requests"]]
        cursor = page["next"]
    everything = get(server, "/api/requests?limit=1000")["requests"]
    assert seen == [one["id"] for one in everything]


@pytest.mark.parametrize(
    "query", ["status=x", "since=now", "limit=0", "limit=1001", "cursor=1", "key=nobody"]
)
def test_a_filter_that_makes_no_sense_is_refused(server: RunningServer, query: str) -> None:
    reply = requests.get(f"{server.url}/api/requests?{query}", timeout=60)
    assert reply.status_code == 400
    assert query.partition("=")[0] in reply.json()["error"]


def test_a_stream_that_is_cancelled_ends_with_an_error_event(server: RunningServer) -> None:
    _, pieces = begin_endless(server)
    [request] = live(server)
    assert (request["model"], request["phase"]) == ("endless", "answering")
    assert requests.delete(f"{server.url}/api/requests/live/{request['id']}", timeout=60).ok
    last = b"".join(pieces).split(b"\n\n")[-2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "request_cancelled"
    wait_until(lambda: not live(server), "the request's end")
    assert newest(server, "&status=failed")["error"] == "request_cancelled"
    again = requests.post(f"{server.url}/api/requests/{request['id']}/cancel", timeout=60)
    assert again.status_code == 404


def test_a_waiting_request_that_is_cancelled_leaves_the_queue(server: RunningServer) -> None:
    busy, _ = begin_endless(server)
    answers: list[requests.Response] = []
    # Another model, which cannot be loaded while this one is busy.
    waiting = threading.Thread(target=lambda: answers.append(ask(server, "numbers")))
    waiting.start()
    wait_until(lambda: len(live(server)) == 2, "a second request")
    second = next(one for one in live(server) if one["model"] == "numbers")
    assert second["phase"] == "waiting"
    assert requests.post(f"{server.url}/api/requests/{second['id']}/cancel", timeout=60).ok
    waiting.join(timeout=60)
    assert answers[0].status_code == 410
    assert answers[0].json()["error"]["code"] == "request_cancelled"
    assert get(server, "/api/queue")["waiting"] == 0
    busy.close()
    wait_until(lambda: not live(server), "the end of the first")
    assert newest(server, "&model=endless")["status"] == 499


def test_an_answer_in_one_piece_that_is_cancelled_is_an_error(server: RunningServer) -> None:
    answers: list[requests.Response] = []
    work = threading.Thread(target=lambda: answers.append(ask(server, "endless", max_tokens=-1)))
    work.start()
    wait_until(lambda: [r for r in live(server) if r["phase"] == "working"], "the work")
    assert requests.delete(f"{server.url}/api/requests/live/{live(server)[0]['id']}", timeout=60).ok
    work.join(timeout=60)
    assert answers[0].status_code == 410


def test_usage_is_summed_and_comes_as_a_table_too(server: RunningServer) -> None:
    assert ask(server, "fox").ok
    by_day = get(server, "/api/usage?by=day&model=fox")
    [row] = by_day["rows"]
    assert (row["model"], row["key"]) == ("fox", None)
    assert by_day["total"]["requests"] == row["requests"] >= 1
    assert by_day["total"]["tokensOut"] == row["tokensOut"] > 0
    assert (
        sum(one["requests"] for one in get(server, "/api/usage?by=hour&model=fox")["rows"])
        == (row["requests"])
    )
    text = requests.get(f"{server.url}/api/usage?by=day&format=csv&model=fox", timeout=60)
    assert text.headers["Content-Type"].startswith("text/csv")
    [line] = csv.DictReader(io.StringIO(text.text))
    assert int(line["requests"]) == row["requests"]
    assert requests.get(f"{server.url}/api/usage?by=week", timeout=60).status_code == 400


def test_listeners_hear_of_each_request(server: RunningServer) -> None:
    with listening(server) as heard:
        known = len(heard.of("metrics"))
        assert ask(server, "fox").ok
        heard.wait_for(lambda: len(heard.of("metrics")) > known, "metrics")
        [metric] = heard.of("metrics")[-1]
    assert metric.keys() == {
        "id",
        "timestamp",
        "model",
        "cache_tokens",
        "input_tokens",
        "output_tokens",
        "prompt_per_second",
        "tokens_per_second",
        "duration_ms",
    }
    assert (metric["model"], metric["output_tokens"] > 0) == ("fox", True)
    with listening(server) as later:
        assert metric in later.of("metrics")[0]


def test_a_crash_is_told_at_once(server: RunningServer) -> None:
    """The first implementation kept saying "ready" until something else happened."""
    assert ask(server, "fox").ok
    with listening(server) as heard:
        engines = psutil.Process(server.process.pid).children(recursive=True)
        [engine] = [one for one in engines if "llama-server" in one.name()]
        os.kill(engine.pid, signal.SIGKILL)
        heard.wait_for(lambda: heard.of("notice"), "the notice")
        heard.wait_for(
            lambda: any(
                one["id"] == "fox" and one["state"] == "stopped"
                for one in heard.of("modelStatus")[-1]
            ),
            "the state",
        )
    notice = heard.of("notice")[0]
    assert notice.keys() == {"level", "kind", "model", "text", "at"}
    assert (notice["level"], notice["kind"], notice["model"]) == ("error", "crash", "fox")


def test_log_files_can_be_downloaded_and_nothing_else(server: RunningServer) -> None:
    assert ask(server, "fox").ok
    assert "fox" in {one["model"] for one in get(server, "/api/logs")["logs"]}
    reply = requests.get(f"{server.url}/api/logs/fox/download", timeout=60)
    assert "attachment" in reply.headers["Content-Disposition"]
    assert "model loaded" in reply.text
    for name in ("../../claracore.sqlite3", "..%2F..%2Fsecret_key", "nothing", "/etc/passwd"):
        assert requests.get(f"{server.url}/api/logs/{name}/download", timeout=60).status_code == 404


def test_logs_are_read_and_followed_as_text(server: RunningServer) -> None:
    assert requests.post(f"{server.url}/api/models/fox/unload", timeout=60).ok
    assert ask(server, "fox").ok  # So that its loading is the newest line, and not forgotten yet.
    page = {"Accept": "text/html,*/*"}
    reply = requests.get(f"{server.url}/logs", headers=page, allow_redirects=False, timeout=60)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/ui/")
    whole = requests.get(f"{server.url}/logs", timeout=60)
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert "[INFO] Loading fox" in whole.text
    unknown = requests.get(f"{server.url}/logs/stream/nothing", timeout=60)
    assert (unknown.status_code, unknown.text) == (
        400,
        "invalid logger. Use 'proxy' or 'upstream'",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "[INFO] Unloading fox"),
        ("/proxy", "[INFO] Unloading fox"),
        ("/upstream", "cleaning up"),
        ("/fox", "cleaning up"),
    ],
)
def test_a_log_stream_goes_on(server: RunningServer, name: str, expected: str) -> None:
    assert ask(server, "fox").ok
    url = f"{server.url}/logs/stream{name}"
    with requests.get(f"{url}?no-history", stream=True, timeout=60) as reply:
        assert reply.headers["X-Accel-Buffering"] == "no"
        requests.post(f"{server.url}/api/models/fox/unload", timeout=60)
        text = b""
        for piece in reply.iter_content(None):
            text += piece
            if expected.encode() in text:
                break
    assert b"Loading fox" not in text
    assert requests.head(url, timeout=60).headers["X-Accel-Buffering"] == "no"  # And it ends.
    with requests.get(url, stream=True, timeout=60) as reply:
        assert next(reply.iter_content(None))  # History, at once.
