from __future__ import annotations

import json

import pytest

from proxy_app.bodies import Rewrite, model_of, read_head, rewrite
from proxy_app.errors import InvalidRequest


def test_it_reads_only_the_model_and_whether_to_stream() -> None:
    head = read_head(b'{"messages":[{"x":1}],"model":"a/b","stream":true}')
    assert (model_of(head), head.stream) == ("a/b", True)


def test_a_number_as_model_is_read_as_its_text() -> None:
    assert model_of(read_head(b'{"model":5}')) == "5"


@pytest.mark.parametrize("body", [b"", b"model=x", b"{", b"\xff\xfe", b'{"model":"a"} x'])
def test_a_body_that_is_not_json_is_explained(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not JSON"):
        read_head(body)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b'{"model":["a"]}', b'{"model":"a","stream":{}}'])
def test_a_field_of_the_wrong_type_is_named(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="wrong type"):
        read_head(body)


@pytest.mark.parametrize("body", [b"{}", b'{"model":""}', b'{"model":null}'])
def test_a_missing_model_says_where_ids_are_listed(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="/v1/models") as caught:
        model_of(read_head(body))
    assert caught.value.param == "model"


def test_it_strips_fields_and_sets_the_name_but_never_drops_the_model() -> None:
    body = b'{"model":"alias","temperature":1,"options":{"a":1,"b":2},"top_p":0.5}'
    changed = rewrite(body, Rewrite("real", ("temperature", "options.a", "model", "no.such")))
    assert json.loads(changed) == {"model": "real", "options": {"b": 2}, "top_p": 0.5}


def test_without_a_change_there_is_nothing_to_rewrite() -> None:
    assert not Rewrite()


def test_a_body_nested_beyond_reason_is_refused() -> None:
    body = b'{"model":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidRequest):
        rewrite(body, Rewrite("b"))


def test_a_name_beyond_reason_is_refused_before_it_is_compared() -> None:
    with pytest.raises(InvalidRequest, match="characters"):
        model_of(read_head(b'{"model":"' + b"x" * 2000 + b'"}'))
