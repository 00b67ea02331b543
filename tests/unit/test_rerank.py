from __future__ import annotations

import json
from typing import Any

import pytest

from proxy_app.rerank import merged

ASKED = {"model": "m", "query": "q", "documents": ["one", "two"]}
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


def merge(asked: Any, told: Any) -> Any:
    return json.loads(merged(json.dumps(asked).encode(), json.dumps(told).encode()))


def test_both_shapes_stand_in_one_answer() -> None:
    told = {"model": "m", "object": "list", "usage": {"total_tokens": 3}, "results": RESULTS}
    answer = merge(ASKED, told)
    assert {name: answer[name] for name in told} == told
    assert answer["data"] == [
        {"index": 1, "relevance_score": 0.9, "document": "two"},
        {"index": 0, "relevance_score": 0.1, "document": "one"},
    ]


def test_documents_are_left_out_when_not_wanted() -> None:
    answer = merge({**ASKED, "return_documents": False}, {"results": RESULTS})
    assert answer["data"] == RESULTS
    assert answer["object"] == "list"


def test_an_engine_that_speaks_the_other_shape_gets_results_added() -> None:
    data = [{"index": 0, "relevance_score": 1, "document": "mine"}]
    assert merge(ASKED, {"data": data}) == {"data": data, "results": data, "object": "list"}


@pytest.mark.parametrize(
    "told", [[{"index": 0}], {"results": 3}, {"results": [1]}, {"error": {}}, "text"]
)
def test_anything_else_passes_as_it_came(told: Any) -> None:
    raw = json.dumps(told).encode()
    assert merged(json.dumps(ASKED).encode(), raw) == raw


@pytest.mark.parametrize("index", [-1, 2, "0", None])
def test_an_index_that_points_nowhere_brings_no_document(index: Any) -> None:
    assert merge(ASKED, {"results": [{"index": index}]})["data"] == [{"index": index}]
