from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_app.rights import Rights, Scope
from proxy_app.accounting import NEWEST_KEPT, Accounting
from proxy_app.events import EventHub, Listener
from proxy_app.journal import Journal, read_from, segments
from proxy_app.keys import Caller
from proxy_app.records import Line, Record

FIGURES = b'{"usage":{"prompt_tokens":4,"completion_tokens":10}}'


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = EventHub()
        self.accounting = Accounting(Journal(folder), self.hub)

    def serve(
        self,
        model: str = "fox",
        *,
        answer: bytes = FIGURES,
        gpus: int = 0,
        key: int = 0,
        person: int = 0,
    ) -> Record:
        records = self.accounting.records
        record = records.begin("/v1/completions", model, model, "")
        self.accounting.granted(record, record.arrived, 0.0, gpus)
        record.key_id, record.person_id = key, person
        record.answered(200, streamed=False)
        record.piece(answer)
        records.end(record)
        return record

    def written(self) -> list[Line]:
        return [line for segment in segments(self.folder) for line in read_from(segment, 0)[0]]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "journal")


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_ended_requests_are_written_down_by_themselves(desk: Desk) -> None:
    for _ in range(3):
        desk.serve()
    await until(desk.written)
    assert [line.model for line in desk.written()] == ["fox"] * 3


async def test_nothing_is_written_down_when_usage_is_not_kept(desk: Desk) -> None:
    desk.accounting.kept = False
    lost: list[int] = []
    desk.accounting.on_unwritten = lambda lines: lost.extend(line.key_id for line in lines)
    desk.serve(key=5)
    desk.accounting.close()
    assert desk.written() == []
    assert lost == [5]
    assert len(desk.accounting.metrics()) == 1


async def test_closing_writes_down_what_is_left(desk: Desk) -> None:
    desk.serve()
    desk.accounting.close()
    assert len(desk.written()) == 1


async def test_listeners_are_told_of_a_bunch_at_once(desk: Desk) -> None:
    with desk.hub.listen() as listener:
        desk.serve()
        desk.serve("sea")
        data = (await listener.take()).decode()
    envelope = json.loads(data.removeprefix("event:message\ndata:"))
    assert envelope["type"] == "metrics"
    assert [item["model"] for item in json.loads(envelope["data"])] == ["fox", "sea"]


async def test_listeners_hear_of_every_request_once(desk: Desk) -> None:
    with desk.hub.listen() as early:
        desk.serve()
        desk.accounting.flush()
        desk.serve()
        desk.accounting.flush()
        state = desk.accounting.metrics()  # As somebody is told who comes now.
        with desk.hub.listen() as late:
            desk.serve()
            desk.accounting.flush()
            desk.accounting.close()
            heard = ids_in(await early.take()), ids_in(await late.take())
    assert [metric["id"] for metric in state] == [0, 1]
    assert heard == ([0, 1, 2], [2])


async def test_metrics_are_worked_out_once(desk: Desk) -> None:
    desk.serve()
    desk.serve("sea")
    desk.accounting.flush()
    first, second = desk.accounting.metrics(), desk.accounting.metrics()
    assert [metric["model"] for metric in first] == ["fox", "sea"]
    assert all(one is other for one, other in zip(first, second, strict=True))


async def test_the_newest_have_their_metrics_after_very_many(desk: Desk) -> None:
    for number in range(NEWEST_KEPT + 50):
        desk.serve(f"fox {number}")
        if number % 500 == 0:
            desk.accounting.flush()
            desk.accounting.metrics()
    desk.accounting.flush()
    models = [metric["model"] for metric in desk.accounting.metrics()]
    assert models == [f"fox {number}" for number in range(50, NEWEST_KEPT + 50)]


async def test_who_only_uses_models_hears_of_their_own_requests(desk: Desk) -> None:
    rights = Rights(7, "Ada", frozenset({Scope.INFERENCE}))
    ada, her_key = Caller(rights=rights), Caller("laptop", 3, rights)
    other = Caller("desk", 4, Rights(8, "Bob", frozenset({Scope.INFERENCE})))
    with (
        desk.hub.listen(Listener(caller=ada)) as by_session,
        desk.hub.listen(Listener(caller=her_key)) as by_key,
        desk.hub.listen(Listener(caller=other)) as stranger,
    ):
        for key, person in ((0, 0), (3, 7), (0, 7), (4, 9)):
            desk.serve(key=key, person=person)
        desk.accounting.flush()
        desk.accounting.close()
        heard = [ids_in(await one.take()) for one in (by_session, by_key, stranger)]
    assert heard == [[1, 2], [1, 2], [3]]


def ids_in(data: bytes) -> list[int]:
    """The requests that metrics events tell of."""
    envelopes = [json.loads(text.removeprefix("data:")) for text in data.decode().split("\n")[1::3]]
    return [metric["id"] for one in envelopes for metric in json.loads(one["data"])]


async def test_requests_that_shared_an_engine_shared_its_time(desk: Desk) -> None:
    records = desk.accounting.records
    both = [records.begin("/v1/completions", "fox", "fox", "") for _ in range(2)]
    for record in both:
        desk.accounting.granted(record, both[0].arrived, 0.0, 1)
    await asyncio.sleep(0.05)
    for record in both:
        records.end(record)
    first, second = both
    assert first.ended is not None and second.ended is not None
    busy = second.ended - first.arrived
    assert first.engine_seconds + second.engine_seconds == pytest.approx(busy)


async def test_a_full_disk_is_said_once_and_requests_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(lines: object) -> None:
        raise OSError(28, "No space left on device")

    lost: list[int] = []
    desk.accounting.on_unwritten = lambda lines: lost.extend(line.key_id for line in lines)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", lambda self, lines: full(lines))
        for key in (3, 4):
            desk.serve(key=key)
            desk.accounting.flush()
    assert lost == [3, 4]
    desk.serve()
    desk.accounting.close()
    assert caplog.text.count("Usage cannot be written down") == 1
    assert "2 requests are missing" in caplog.text
    assert len(desk.written()) == 1
