from __future__ import annotations

import json
from typing import Any

import pytest

from proxy_app.untold import prompt_guess


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"n_cmpl": 4, "n": 1},
        {"prompt": ["one", "two"]},
        {"prompt": [[1, 2], [3]]},
        {"prompt": [{"prompt_string": "a"}, "b"]},
        {"response_fields": ["content"]},
    ],
)
def test_several_answers_and_chosen_fields_are_not_told_wholly(fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "fox", **fields}).encode()
    assert prompt_guess(body) == len(body) // 4
    escaped = body.replace(b'"n', b'"\\u006e').replace(b'"prompt"', b'"\\u0070rompt"')
    assert prompt_guess(escaped) == len(escaped) // 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "one", "n": 1}',
        b'{"prompt": ["one"]}',
        b'{"prompt": [1, 2, 3]}',
        b'{"prompt": [1, "two", 3]}',
        b'{"n": "many", "response_fields": [], "messages": []}',
        b'"prompt": [',
        b"\xff",
        iter([b""]),
    ],
)
def test_everything_else_is(body: object) -> None:
    assert prompt_guess(body) == 0


_TWO: bytes = b'{"prompt": ["one", "two"]}'


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + _TWO,
        _TWO + b"\0 and more",
        _TWO[:-1] + b',"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b" " * 100 + _TWO[:-1] + b",}",
    ],
)
def test_nor_is_what_only_an_engine_may_be_able_to_read(body: bytes) -> None:
    assert prompt_guess(body) == len(body) // 4
