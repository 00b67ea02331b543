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


def test_fields_are_set_and_special_ids_win() -> None:
    change = Rewrite(set={"temperature": 0.2, "n": 1}, set_by_id={"warm": {"temperature": 1.2}})
    body = b'{"model":"m","temperature":2}'
    assert json.loads(rewrite(body, change, "m")) == {"model": "m", "temperature": 0.2, "n": 1}
    assert json.loads(rewrite(body, change, "warm"))["temperature"] == 1.2


def test_what_is_stripped_can_be_set_afterwards() -> None:
    change = Rewrite(strip=("stop", "options.deep"), set={"stop": ["x"]})
    body = b'{"model":"m","stop":[1],"options":{"deep":1,"kept":2}}'
    assert json.loads(rewrite(body, change)) == {
        "model": "m",
        "stop": ["x"],
        "options": {"kept": 2},
    }


def test_what_is_not_changed_stays_as_it_was_written() -> None:
    kept = b'"big":123456789012345678901234567890,"tiny":1e-400,"text":"\\u00fc\\/","list":[1, 2]'
    body = b'{"model":"m","gone":1,' + kept + b"}"
    assert kept in rewrite(body, Rewrite(strip=("gone",)))


def test_a_request_no_filter_concerns_is_not_touched() -> None:
    change = Rewrite(set_by_id={"warm": {"n": 1}})
    assert change and not change.changes("m") and change.changes("warm")


def test_a_body_that_is_not_utf_8_is_the_clients_fault() -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read_head(b'{"model":"\xff\xfe"}')


@pytest.mark.parametrize(
    ("field", "meant"),
    [("7", 7), ("7.0", 7), ("null", None), ('"7"', None), ("-1", None), ("true", None)],
)
def test_a_number_is_read_however_the_other_fields_are_written(
    field: str, meant: int | None
) -> None:
    usual = read_head(b'{"model":"fox","max_tokens":%b}' % field.encode())
    odd = read_head(b'{"model":"fox","stream":"true","n":"x","max_tokens":%b}' % field.encode())
    assert (usual.max_tokens or None, odd.max_tokens or None) == (meant, meant)
    assert (usual.model, odd.model, odd.stream) == ("fox", "fox", True)
