from __future__ import annotations

from typing import Any

import pytest

from proxy_app.entries import entry_of, figures_of, metric_of, tokens_of
from proxy_app.records import Line, Record, Records, line_of


def ended(records: Records, *pieces: bytes) -> Record:
    record = records.begin("/v1/chat/completions", "fox", "fox-q8", "127.0.0.1")
    record.granted = record.arrived + 3
    record.loading = 2.0
    record.answered(200, streamed=True)
    for piece in pieces:
        record.piece(piece)
    record.first = record.arrived + 3.5
    records.end(record)
    record.ended = record.arrived + 4.5
    return record


def line(**values: object) -> Line:
    plain: dict[str, object] = {
        "at": 1_700_000_000.25,
        "number": 3,
        "model": "fox-q8",
        "path": "/v1/completions",
        "key_id": 0,
        "person_id": 0,
        "status": 200,
        "error": "",
        "streamed": True,
        "granted": 0.5,
        "loading": 0.0,
        "first": 1.0,
        "total": 3.0,
        "engine_seconds": 2.5,
        "gpus": 2,
        "figures": '"usage":{"prompt_tokens":4,"completion_tokens":10}',
    }
    return Line(**{**plain, **values})  # type: ignore[arg-type]


def test_a_record_is_live_until_it_ended() -> None:
    told: list[Record] = []
    records = Records(told.append)
    record = records.begin("/v1/completions", "fox", "fox", "")
    assert list(records.live.values()) == [record]
    records.end(record)
    assert records.live == {} and told == [record]


def test_it_tells_where_a_request_is() -> None:
    records = Records(lambda record: None)
    record = records.begin("/v1/completions", "fox", "fox", "")
    phases = [record.phase]
    record.granted = record.arrived
    phases.append(record.phase)
    record.piece(b"x")
    phases.append(record.phase)
    records.end(record)
    assert [*phases, record.phase] == ["waiting", "working", "answering", "ended"]


def test_waiting_and_loading_are_told_apart() -> None:
    entry = entry_of(line_of(ended(Records(lambda record: None), b'"usage":{"prompt_tokens":4}')))
    assert (entry.queue_ms, entry.load_ms, entry.first_ms, entry.total_ms) == (
        1000,
        2000,
        3500,
        4500,
    )
    assert entry.model == "fox-q8" and entry.tokens_in == 4


def test_only_the_ends_of_a_long_answer_are_kept() -> None:
    record = ended(Records(lambda record: None), *[b"a" * 100] * 1000, b"the end")
    assert record.size == 100_007 and len(record.tail) == 707
    assert record.tail.endswith(b"the end")


def test_an_engine_that_only_counts_gets_its_speed_worked_out() -> None:
    assert entry_of(line()).tokens_per_second == 5.0


def test_gpu_seconds_are_the_share_times_the_gpus() -> None:
    entry = entry_of(line())
    assert (entry.engine_seconds, entry.gpu_seconds) == (2.5, 5.0)


def test_a_metric_has_the_shape_existing_clients_read() -> None:
    assert metric_of(entry_of(line())) == {
        "id": 3,
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "model": "fox-q8",
        "cache_tokens": -1,
        "input_tokens": 4,
        "output_tokens": 10,
        "prompt_per_second": -1,
        "tokens_per_second": 5.0,
        "duration_ms": 3000,
    }


def test_a_metric_counts_what_the_engine_worked_on_where_it_says_so() -> None:
    timings = (
        '"timings":{"cache_n":6,"prompt_n":4,"prompt_ms":10.6,"predicted_n":3,'
        '"predicted_ms":20.6,"prompt_per_second":400,"predicted_per_second":150}'
    )
    metric = metric_of(entry_of(line(figures=timings)))
    assert metric is not None
    assert (metric["cache_tokens"], metric["input_tokens"], metric["duration_ms"]) == (6, 4, 31)


def test_an_answer_without_figures_is_no_metric() -> None:
    assert metric_of(entry_of(line(figures=""))) is None


def test_a_stream_that_its_client_left_counts_what_came_of_it() -> None:
    left = line(status=499, figures="", pieces=7)
    assert entry_of(left).tokens_out == 7
    counted = line(status=499, figures='"usage":{"output_tokens":1}', pieces=7)
    assert entry_of(counted).tokens_out == 7


def test_an_answer_that_came_whole_or_never_began_counts_what_the_engine_said() -> None:
    assert entry_of(line(pieces=99, asked=4000)).tokens_out == 10
    assert entry_of(line(pieces=99, asked=4000)).tokens_in == 4
    assert entry_of(line(status=499, figures="", first=None)).tokens_out is None
    assert entry_of(line(status=499, figures="", pieces=3, streamed=False)).tokens_out is None


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ({"pieces": 9, "asked": 80}, (20, 9)),
        ({"streamed": False, "size": 400, "asked": 80}, (20, 100)),
        ({"streamed": False, "size": 40_000, "asked": 80, "path": "/embedding"}, (20, 0)),
        ({"streamed": False, "size": 400, "asked": 80, "path": "/upstream/fox/rerank"}, (20, 0)),
        ({"streamed": False, "size": 400, "asked": 10**7, "path": "/completion"}, (8192, 100)),
        ({"streamed": False, "size": 400, "asked": 80, "path": "/tokenize"}, (0, 0)),
        ({"size": 9999, "asked": 10**7, "path": "/v1/audio/transcriptions"}, (0, 0)),
        ({"streamed": False, "size": 400, "asked": 80, "status": 400}, (0, 0)),
        ({"pieces": 9, "asked": 80, "status": 499}, (20, 9)),
    ],
)
def test_what_an_engine_says_nothing_of_is_counted_by_its_length(
    values: dict[str, Any], tokens: tuple[int, int]
) -> None:
    """Else a quota would not count who leaves before the end, or asks so that no figures come."""
    ended = line(figures="", **values)
    entry = entry_of(ended)
    assert (entry.tokens_in or 0, entry.tokens_out or 0) == tokens
    assert tokens_of([ended, line(), ended]) == [sum(tokens), 14, sum(tokens)]


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ({"pieces": 90}, (4, 10)),
        ({"pieces": 90, "untold": 30}, (30, 90)),
        ({"streamed": False, "size": 400, "untold": 30}, (30, 100)),
        ({"streamed": False, "size": 400, "untold": 2}, (4, 100)),
        ({"streamed": False, "size": 400}, (4, 10)),
        ({"streamed": False, "size": 400, "untold": 30, "figures": "", "status": 400}, None),
    ],
)
def test_what_the_engine_leaves_out_is_told_by_its_length(
    values: dict[str, Any], tokens: tuple[int, int] | None
) -> None:
    figures = figures_of(line(**values))
    assert (figures.tokens_in, figures.tokens_out) == (tokens or (None, None))
