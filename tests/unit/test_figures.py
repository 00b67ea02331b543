from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_app.figures import NOTHING, Figures, cut, read_figures, totals_told

USAGE = {
    "completion_tokens": 7,
    "prompt_tokens": 12,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
}
TIMINGS = {
    "cache_n": 4,
    "prompt_n": 8,
    "prompt_ms": 20.5,
    "prompt_per_second": 390.2,
    "predicted_n": 7,
    "predicted_ms": 70.0,
    "predicted_per_second": 100.0,
}
WHOLE = Figures(12, 4, 7, 20.5, 70.0, 390.2, 100.0)


def read(*pieces: bytes) -> Figures:
    return read_figures(cut(pieces[0], b"".join(pieces)).decode())


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_what_anthropic_counts_apart_is_part_of_the_prompt() -> None:
    usage = {"input_tokens": 1, "cache_read_input_tokens": 53, "output_tokens": 10}
    body = json.dumps({"usage": usage}).encode()
    assert read(body) == Figures(54, 53, 10)
    start = event({"message": {"usage": {**usage, "output_tokens": 0}}})
    assert read(start, event({"usage": {"output_tokens": 10}})) == Figures(54, 53, 10)


def test_it_reads_a_whole_answer() -> None:
    body = json.dumps({"choices": [{"text": "Hi"}], "usage": USAGE, "timings": TIMINGS}).encode()
    assert read_figures(cut(body, body).decode()) == WHOLE


def test_it_reads_the_end_of_a_stream() -> None:
    first = event({"choices": [{"delta": {"content": "Hi"}}]})
    assert read(first, event({"usage": USAGE, "timings": TIMINGS}), b"data: [DONE]\n\n") == WHOLE


def test_it_takes_the_newest_of_figures_that_come_with_every_piece() -> None:
    early = event({"timings": {**TIMINGS, "predicted_n": 1, "predicted_ms": 10.0}})
    assert read(early, event({"timings": TIMINGS})) == WHOLE


def test_it_adds_what_was_cached_where_only_timings_are_told() -> None:
    assert read(event({"timings": TIMINGS})).tokens_in == 12


def test_it_reads_what_stands_before_the_data() -> None:
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    head = json.dumps({"usage": usage, "data": []}).encode()[:-2]
    pieces = [head, b"[0.25, 0.5]," * 9000, b"[0.5]]}"]
    assert read(*pieces) == Figures(tokens_in=5)


def test_it_reads_both_messages_of_anthropics_stream() -> None:
    start = event({"type": "message_start", "message": {"usage": {"input_tokens": 12}}})
    end = event({"type": "message_delta", "usage": {"output_tokens": 7}})
    assert read(start, event({"delta": "Hi"}), end) == Figures(tokens_in=12, tokens_out=7)


def test_it_is_not_fooled_by_what_a_model_writes() -> None:
    said = json.dumps({"usage": {"prompt_tokens": 99}})
    body = json.dumps({"choices": [{"text": said}]}).encode()
    assert cut(body, body) == b""


def test_it_cuts_out_nothing_of_what_a_model_wrote() -> None:
    body = json.dumps({"usage": USAGE, "text": "a secret", "timings": TIMINGS}).encode()
    assert b"secret" not in cut(body, body)


@pytest.mark.parametrize(
    "text",
    [
        '"usage": {"prompt_tokens": "many"}',
        '"usage": {"prompt_tokens": -1}',
        '"usage": {"prompt_tokens": true}',
        '"usage": null',
        '"usage": {"prompt_tokens": 1',
        '"usage": [1, 2]',
        '"usage": {]}',
        '"timings": {"prompt_ms": "soon"}',
        '"usage"',
    ],
)
def test_what_it_cannot_read_counts_as_untold(text: str) -> None:
    body = text.encode()
    assert read_figures(cut(body, body).decode()) == NOTHING
    assert read_figures(text) == NOTHING


def test_the_usual_text_and_any_other_are_read_alike() -> None:
    usual = (
        '"usage":{"prompt_tokens":5,"completion_tokens":7}\n'
        '"timings":{"prompt_ms":1,"predicted_ms":2.5,"predicted_per_second":9}'
    )
    spread = usual.replace(",", ",\n ").replace("{", "{\n ")
    assert read_figures(spread) == read_figures(usual) == Figures(5, None, 7, 1.0, 2.5, None, 9.0)


@pytest.mark.parametrize(
    "pieces",
    [
        [{"usage": USAGE, "timings": TIMINGS}],
        [{"usage": {**USAGE, "completion_tokens": 1}}, {"usage": USAGE}],
        [{"timings": TIMINGS}],
        [{"usage": {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 3}}],
        [{"usage": {**USAGE, "cache_read_input_tokens": 5}}],
        [{"usage": {**USAGE, "prompt_tokens": -1}}],
    ],
)
def test_a_short_look_adds_up_the_same_tokens_or_leaves_it_to_the_longer_one(
    pieces: list[Any],
) -> None:
    events = [event(piece) for piece in pieces]
    text = cut(events[0], b"".join(events)).decode()
    figures = read_figures(text)
    told = (figures.tokens_in or 0) + (figures.tokens_out or 0)
    (short,) = totals_told([text])
    assert short == told or short < 0
    assert (short < 0) == (pieces[-1].get("usage") != USAGE)


TEXTS = st.sampled_from(
    [
        "",
        '"usage":{"prompt_tokens":9,"completion_tokens":16}',
        '"usage":{"prompt_tokens":3,"completion_tokens":0}\n"timings":{"prompt_n":3}',
        '"usage":{"prompt_tokens":4}',
        '"usage":{"prompt_tokens":null,"completion_tokens":2}',
        '"usage":{"input_tokens":9,"output_tokens":2,"cache_read_input_tokens":3}',
        '"usage":{"a":"}',
        '"usage":{"a":[{"b":"}","c":{"d":"}"}',
        '"usage":{"a":1}}]},{"usage":{"b":2}',
        '"timings":{"prompt_n":8,"predicted_n":4}',
    ]
)


@given(texts=st.lists(TEXTS, max_size=6))
def test_many_texts_in_one_look_are_each_read_as_alone(texts: list[str]) -> None:
    assert totals_told(texts) == [total for text in texts for total in totals_told([text])]


# Braces in their texts have the first leave lists open, and the last close what it did not open.
OPENING = """{"usage":{"prompt_tokens":500,"completion_tokens":500},
"tools":[{"timings":{"a":[{"b":"}","c":{"d":"}"}}]}}]}"""
CLOSING = """{"tools":[{"X":{"k":[{"timings":{"b":"{"},"c":"{"}],"e":"{"},
"usage":{"prompt_tokens":0,"completion_tokens":0},"g":"{"},{"z":"}",
"usage":{"prompt_tokens":1000000000000000000,"completion_tokens":0},"y":"{"},{"z":"}",
"usage":{"prompt_tokens":0,"completion_tokens":0},"k":{"l":"}"}}],
"usage":{"prompt_tokens":400,"completion_tokens":300}}"""
OTHERS = '{"usage":{"prompt_tokens":70,"completion_tokens":7}}'


def test_no_answer_changes_what_is_read_of_another() -> None:
    bodies = [text.replace("\n", "").encode() for text in (OPENING, OTHERS, CLOSING)]
    texts = [cut(body, body).decode() for body in bodies]
    together = totals_told(texts)
    assert together == [total for text in texts for total in totals_told([text])]
    assert together[1] == 77


@pytest.mark.parametrize(
    "odd", ['"usage":{"a":"}', '"usage":{"a":1}\0"usage":{}', "\ud800", "}\n{"]
)
def test_an_odd_text_takes_nothing_from_those_beside_it(odd: str) -> None:
    """A longer look would find the inner one, which a client may have had repeated to it."""
    inner = '"timings":{"usage":{"prompt_tokens":0,"completion_tokens":0}}'
    text = '"usage":{"prompt_tokens":400,"completion_tokens":300}\n' + inner
    before, _, after = totals_told([text, odd, text])
    assert before == after == totals_told([text])[0] == 700


BY_PATTERN = re.compile(rb"\s*:\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")


PIECES = [b'"usage"', b":", b" ", b"\t\r\n", b"{", b"}", b"1", b",", b'"a"']


@given(st.lists(st.sampled_from(PIECES)))
def test_what_is_cut_out_is_an_object_and_those_directly_in_it(parts: list[bytes]) -> None:
    text = b"".join(parts)
    at = text.rfind(b'"usage"')
    match = BY_PATTERN.match(text, at + len(b'"usage"')) if at >= 0 else None
    assert cut(text, text) == (text[at : match.end()] if match else b"")
