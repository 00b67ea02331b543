from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from models_app.progress import COLUMNS
from proxy_app.config_progress import follow
from proxy_app.events import EventHub

Row = dict[str, Any]


def row(**values: Any) -> Row:
    blank = dict.fromkeys(COLUMNS)
    return {**blank, "id": 1, "status": "running", "step": "Reading files", "current": "a.gguf",
            "total": 4, "processed": 1, "problem": "", **values}  # fmt: skip


async def told(*answers: Row | Exception | None) -> list[Row]:
    """What a listener is told while the database gives these answers, the last one for good."""
    hub = EventHub()
    waiting = list(answers)
    over = asyncio.Event()

    async def ask(work: Callable[[], Row | None]) -> Row | None:
        answer = waiting[0]
        if len(waiting) > 1:
            waiting.pop(0)
        elif over.is_set():
            await asyncio.Event().wait()
        else:
            over.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    with hub.listen() as listener:
        task = asyncio.create_task(follow(ask, hub))
        await over.wait()
        await asyncio.sleep(0)
        listener.push(b"end")
        frames = await listener.take()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    envelopes = [json.loads(part[5:]) for part in frames.split(b"\n") if part[:5] == b"data:"]
    assert {envelope["type"] for envelope in envelopes} <= {"configProgress"}
    return [json.loads(envelope["data"]) for envelope in envelopes]


async def test_each_change_is_told_once_in_the_documented_shape() -> None:
    done = row(status="completed", processed=4, finished_at="now")
    found = await told(None, row(), row(), RuntimeError("locked"), row(processed=3), done)
    assert found == [
        {
            "stage": "Reading files",
            "currentModel": "a.gguf",
            "current": 1,
            "total": 4,
            "percentageComplete": 31.2,
        },
        {
            "stage": "Reading files",
            "currentModel": "a.gguf",
            "current": 3,
            "total": 4,
            "percentageComplete": 73.8,
        },
        {
            "stage": "Configuration generated successfully",
            "currentModel": "a.gguf",
            "current": 4,
            "total": 4,
            "percentageComplete": 100.0,
        },
    ]


async def test_a_scan_that_was_over_before_is_not_told_of() -> None:
    assert await told(row(status="completed", finished_at="then")) == []
    failed = row(status="failed", problem="No disk.", finished_at="now")
    assert [one["stage"] for one in await told(row(), failed)][-1] == "Failed: No disk."
