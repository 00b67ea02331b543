from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from proxy_app.bodies import read_head
from proxy_app.reservation import (
    ANSWER_GUESSED,
    MOST_OF_PROMPT,
    ROOM_GUESSED,
    Room,
    room_of,
    tokens_wanted,
)

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60, "max_tokens": 5}, 60),
        ({"max_output_tokens": 70}, 70),
        ({"n_predict": 80, "n": 3}, 240),
        ({"max_tokens": 10, "prompt": ["a", "b", "c"]}, 30),
        ({"max_tokens": 10, "prompt": [1, "b", 3]}, 10),
        ({}, ANSWER_GUESSED),
        *(({"max_tokens": odd}, ANSWER_GUESSED) for odd in (-1, 0, None, "many", [5], 0.5)),
        ({"max_tokens": 2e3}, 2000),
        ({"max_tokens": 4000.5}, 4000),
        ({"max_tokens": 10, "n_cmpl": 3, "n": 2}, 30),
        ({"max_tokens": True}, ANSWER_GUESSED),
    ],
)
def test_a_request_reserves_what_it_may_be_answered(fields: dict[str, Any], answer: int) -> None:
    body = json.dumps({"model": "fox", **fields}).encode()
    assert tokens_wanted(CHAT, body) == answer + len(body) // 4
    # What the gateway read of it for other reasons holds the same.
    assert tokens_wanted(CHAT, b" " * len(body), wish=read_head(body)) == answer + len(body) // 4


@pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"max_tokens":50}', b'{"max_tokens":50}\0}'])
def test_what_an_engine_reads_of_a_body_is_what_counts(body: bytes) -> None:
    assert tokens_wanted(CHAT, body) == 50 + len(body) // 4


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"max_tokens":50,}', b'{"a":\xff}'])
def test_what_only_an_engine_could_read_may_ask_for_all_it_has(body: bytes) -> None:
    assert tokens_wanted(CHAT, body, Room(4096, 16384)) == 4096


@pytest.mark.parametrize("body", [b"no JSON", b"\xff"])
def test_what_cannot_be_read_is_guessed(body: bytes) -> None:
    assert ANSWER_GUESSED <= tokens_wanted(CHAT, body) <= ANSWER_GUESSED + MOST_OF_PROMPT


def test_a_text_where_a_number_belongs_is_looked_at_once() -> None:
    """Python would make a message of it that is as long, and write every byte of it out."""
    body = json.dumps({"max_tokens": "\x7f" * 1_000_000}).encode()
    tracemalloc.start()
    try:
        assert tokens_wanted(CHAT, body) == ANSWER_GUESSED + MOST_OF_PROMPT
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * len(body)


def test_a_body_that_comes_in_pieces_is_guessed() -> None:
    assert tokens_wanted(CHAT, iter([b""])) == ANSWER_GUESSED


def test_a_picture_counts_for_no_more_than_a_long_prompt() -> None:
    body = json.dumps({"max_tokens": 1, "picture": "A" * 1_000_000}).encode()
    assert tokens_wanted(CHAT, body) == MOST_OF_PROMPT + 1


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank", "/tokenize"])
def test_what_is_answered_without_words_reserves_its_prompt(path: str) -> None:
    assert tokens_wanted(path, b"{" + b" " * 398 + b"}") == 100


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"max_tokens": 10**9}, 4096),
        ({"max_tokens": 10**4000}, 4096),
        ({"max_tokens": 1e300}, 4096),
        ({"max_tokens": 10**9, "n": 2}, 16384),
        ({"max_tokens": 100, "n": 10**9}, 16384),
        ({"prompt": "a" * 1_000_000, "max_tokens": 1}, 4096),
    ],
)
def test_no_request_reserves_more_than_its_engine_has_room_for(
    fields: dict[str, Any], wanted: int
) -> None:
    """Else one that asks for a million tokens keeps all others of its key waiting."""
    body = json.dumps(fields).encode()
    assert tokens_wanted(CHAT, body, Room(4096, 16384)) == wanted
    assert tokens_wanted(CHAT, iter([b""]), Room(512, 512)) == 512


@pytest.mark.parametrize(
    ("command", "room"),
    [
        ("llama-server -c 16384 -np 4", Room(4096, 16384)),
        ("llama-server --ctx-size 16384 --parallel 4 --kv-unified", Room(16384, 16384)),
        ("llama-server -kvu -c 16384 -np 4 --no-kv-unified", Room(4096, 16384)),
        ("llama-server --ctx-size 4096 -c 8192", Room(8192, 8192)),
        ("llama-server --ctx-size 0", ROOM_GUESSED),
        ("llama-server --ctx-size many -np", ROOM_GUESSED),
        ("vllm serve fox", ROOM_GUESSED),
    ],
)
def test_an_engines_room_is_read_from_its_command(command: str, room: Room) -> None:
    assert room_of(command.split()) == room
