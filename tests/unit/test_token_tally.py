"""Tokens generated lately: read of each request once, and of thousands not all at once."""

from __future__ import annotations

import asyncio

import pytest

from proxy_app import token_tally
from proxy_app.entries import figures_of
from proxy_app.figures import Figures
from proxy_app.records import Line, Record, line_of
from proxy_app.token_tally import AT_ONCE, TokenTally


def line(tokens: int, at: float = 100.0) -> Line:
    record = Record(1, "/v1/chat/completions", "qwen", "qwen", "127.0.0.1")
    record.answered(200, streamed=False)
    record.piece(b'{"usage":{"prompt_tokens":9,"completion_tokens":%d}}' % tokens)
    record.at = at
    return line_of(record)


def test_it_counts_what_came_after_the_moment() -> None:
    tally = TokenTally(10)
    tally.ended([line(1, at=39), line(2, at=40), line(4, at=90)])
    assert tally.since(40) == 6
    tally.ended([line(8, at=95), line(16, at=30)])
    assert tally.since(40) == 14


def test_each_request_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[Line] = []

    def read(one: Line) -> Figures:
        readings.append(one)
        return figures_of(one)

    monkeypatch.setattr(token_tally, "figures_of", read)
    tally = TokenTally(10)
    tally.ended([line(1), line(2)])
    assert [tally.since(0) for _ in range(3)] == [3, 3, 3]
    assert len(readings) == 2


def test_very_many_are_read_in_the_loops_next_turns() -> None:
    async def scene() -> list[int]:
        tally = TokenTally(1000)
        tally.ended([line(1)] * (2 * AT_ONCE + 50))
        seen = [tally.since(0)]
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(tally.since(0))
        tally.ended([line(1)])
        return [*seen, tally.since(0)]

    assert asyncio.run(scene()) == [100, 200, 250, 250, 251]


def test_what_came_long_ago_keeps_nobody_from_the_newest() -> None:
    tally = TokenTally(1000)
    tally.ended([*[line(1, at=10)] * 500, line(7, at=90)])
    assert tally.since(60) == 7


def test_it_goes_on_after_one_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> list[int]:
        tally = TokenTally(1000)
        tally.ended([*[line(1)] * AT_ONCE, broken, *[line(1)] * AT_ONCE])
        seen = [tally.since(0)]
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(tally.since(0))
        return seen

    def read(one: Line) -> Figures:
        if one is broken:
            raise OverflowError
        return figures_of(one)

    broken = line(1)
    loop_errors: list[object] = []
    monkeypatch.setattr(token_tally, "figures_of", read)
    told = "call_exception_handler"
    monkeypatch.setattr(asyncio.BaseEventLoop, told, lambda _, error: loop_errors.append(error))
    assert asyncio.run(scene())[-1] == 2 * AT_ONCE
    assert len(loop_errors) == 1


def test_the_newest_are_kept() -> None:
    tally = TokenTally(3)
    tally.ended([line(tokens) for tokens in (1, 2, 4, 8)])
    assert tally.since(0) == 14


def test_an_earlier_run_is_remembered() -> None:
    tally = TokenTally(10)
    tally.remember([{"timestamp": "1970-01-01T00:01:40.000000Z", "output_tokens": 32}])
    tally.ended([line(1)])
    assert (tally.since(100), tally.since(101)) == (33, 0)


def test_one_without_figures_counts_for_nothing() -> None:
    record = Record(1, "/v1/chat/completions", "qwen", "qwen", "127.0.0.1")
    tally = TokenTally(10)
    tally.ended([line_of(record)])
    assert tally.since(0) == 0
