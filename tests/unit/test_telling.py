from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy_app.engine_spec import EngineFailure
from proxy_app.events import EventHub, Listener
from proxy_app.failures import Failures
from proxy_app.logs import LogHistory
from proxy_app.notices import CRASH, about, notice_of
from proxy_app.start_failures import FailureKind
from proxy_app.telling import Telling


def decoded(data: bytes) -> list[tuple[str, Any]]:
    frames = data.split(b"\n\n")[:-1]
    envelopes = [json.loads(frame.partition(b"\ndata:")[2]) for frame in frames]
    return [(envelope["type"], json.loads(envelope["data"])) for envelope in envelopes]


@pytest.fixture
async def telling() -> Any:
    hub = EventHub()
    made = Telling(
        hub,
        statuses=lambda: [{"id": "fox"}],
        queues=lambda: {"waiting": 0},
        metrics=list,
        engine_log=lambda name: None,
        may_hear=lambda caller, name: True,
    )
    made.hub = hub  # type: ignore[attr-defined]
    made.begin()
    yield made
    made.end()


@pytest.fixture
def listener(telling: Any) -> Iterator[Listener]:
    with telling.hub.listen() as listening:
        yield listening


async def test_lines_that_come_together_are_told_as_one(telling: Any, listener: Listener) -> None:
    for number in range(100):
        telling.engine_log.append(f"line {number}\n")
    [(kind, value)] = decoded(await listener.take())
    assert (kind, value["source"]) == ("logData", "upstream")
    assert value["data"].splitlines() == [f"line {number}" for number in range(100)]


async def test_nobody_hears_a_line_twice(telling: Any, listener: Listener) -> None:
    telling.engine_log.append("before\n")
    # Somebody comes before it was told: they have it as the past, the other as news.
    first = telling.first_messages(lambda kind: True)
    assert [kind for kind, _ in first[:4]] == ["logData", "logData", "modelStatus", "metrics"]
    assert first[1] == ("logData", {"source": "upstream", "data": "before\n"})
    with telling.hub.listen() as later:
        telling.engine_log.append("after\n")
        assert "after" in (text := (await later.take()).decode())
        assert "before" not in text
    heard = (await listener.take()).decode()
    assert heard.count("before") == heard.count("after") == 1


async def test_what_somebody_does_not_hear_is_not_looked_for(telling: Any) -> None:
    first = telling.first_messages(lambda kind: kind == "queue")
    assert [kind for kind, _ in first] == ["queue"]


async def test_what_is_logged_in_threads_is_told_too(telling: Any, listener: Listener) -> None:
    await asyncio.to_thread(telling.engine_log.append, "from afar\n")
    assert b"from afar" in await listener.take()


async def test_what_went_wrong_is_told_at_once_and_says_of_what(
    telling: Any, listener: Listener
) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "It %s", ("broke",), None)
    record.__dict__.update(about(CRASH, "fox"))
    telling.noticed(notice_of(record))
    [(kind, notice)] = decoded(await listener.take())
    assert kind == "notice"
    assert {**notice, "at": ""} == {
        "level": "error",
        "kind": "crash",
        "model": "fox",
        "text": "It broke",
        "at": "",
    }


def test_history_is_bounded_in_bytes(tmp_path: Path) -> None:
    """The first implementation counted writes, so that long lines filled memory."""
    history = LogHistory(limit=1000)
    for _ in range(100):
        history.append("ü" * 99 + "\n")
    assert len(history.text().encode()) <= 1000


def test_a_load_that_failed_and_a_crash_are_notices_of_their_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = Failures((1.0,))
    failures.start_failed("fox", EngineFailure(FailureKind.MEMORY_KV, "out of memory"), now=1)
    failures.ended("sea", EngineFailure(FailureKind.KILLED, "killed"), ready_at=1, now=2)
    told = [notice_of(record) for record in caplog.records]
    assert [(one["level"], one["kind"], one["model"]) for one in told] == [
        ("error", "load_failed", "fox"),
        ("error", "crash", "sea"),
    ]
    assert "out of memory" in told[0]["text"]
