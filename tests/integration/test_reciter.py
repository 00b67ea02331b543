from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ggufs import numbers, pieces_of, write_embedder, write_reciter, write_split
from tests.llama import llama_server

pytestmark = pytest.mark.engine

SENTENCE = "The cat and the dog met the other cat and the naïve 日本 dog, twice and twice."
TIMEOUT = 60


def ask(url: str, path: str, **body: Any) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(f"{url}{path}", json=body, timeout=TIMEOUT)
    response.raise_for_status()
    reply: dict[str, Any] = response.json()
    return reply


def stream(url: str, path: str, **body: Any) -> Iterator[dict[str, Any]]:
    with requests.Session() as session:
        session.trust_env = False
        with session.post(
            f"{url}{path}", json={**body, "stream": True}, stream=True, timeout=TIMEOUT
        ) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])


def messages(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


@pytest.fixture(scope="module")
def reciter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("reciter") / "reciter.gguf"
    with llama_server(write_reciter(path, SENTENCE)) as url:
        yield url


@pytest.mark.parametrize("temperature", [0, 1, 5])
def test_it_recites_its_sentence_at_any_temperature(reciter: str, temperature: float) -> None:
    reply = ask(
        reciter, "/v1/chat/completions", messages=messages("Sing!"), temperature=temperature
    )
    assert reply["choices"][0]["message"]["content"] == SENTENCE
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["completion_tokens"] == len(pieces_of(SENTENCE)) + 1  # and the end


def test_it_streams_its_sentence_piece_by_piece(reciter: str) -> None:
    chunks = stream(reciter, "/v1/chat/completions", messages=messages("The cat", "and"))
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert [delta for delta in deltas if delta] == pieces_of(SENTENCE)


@pytest.mark.parametrize("prompt", ["", "Once upon a time", "The cat and the dog", "日本"])
def test_it_begins_at_the_start_whatever_the_prompt(reciter: str, prompt: str) -> None:
    reply = ask(reciter, "/v1/completions", prompt=prompt, temperature=1.5)
    assert reply["choices"][0]["text"] == SENTENCE
    assert ask(reciter, "/completion", prompt=prompt)["content"] == SENTENCE
    chunks = stream(reciter, "/completion", prompt=prompt)
    assert "".join(chunk["content"] for chunk in chunks) == SENTENCE


def test_it_stops_at_the_tokens_asked_for(reciter: str) -> None:
    reply = ask(reciter, "/v1/completions", prompt="", max_tokens=2)
    assert reply["choices"][0]["text"] == "".join(pieces_of(SENTENCE)[:2])
    assert reply["choices"][0]["finish_reason"] == "length"


def test_an_endless_one_starts_over(tmp_path: Path) -> None:
    path = write_reciter(tmp_path / "m.gguf", "Round and round ", endless=True, layers=2)
    with llama_server(path) as url:
        reply = ask(url, "/completion", prompt="", n_predict=9)
    assert reply["content"] == "Round and round " * 3


def test_a_long_sentence_has_one_token_a_number(tmp_path: Path) -> None:
    path = write_reciter(tmp_path / "m.gguf", numbers(1000))
    with llama_server(path) as url:
        reply = ask(url, "/completion", prompt="", temperature=1)
    assert reply["content"] == numbers(1000)
    assert reply["tokens_predicted"] == 1001


def test_a_split_model_is_loaded_by_its_first_part(tmp_path: Path) -> None:
    first = write_split(tmp_path / "m", 3, SENTENCE)[0]
    with llama_server(first) as url:
        reply = ask(url, "/v1/completions", prompt="")
    assert reply["choices"][0]["text"] == SENTENCE


def test_the_embedder_puts_texts_of_the_same_letters_together(tmp_path: Path) -> None:
    with llama_server(write_embedder(tmp_path / "m.gguf"), "--embedding") as url:
        reply = ask(url, "/v1/embeddings", input=["cat", "act", "dog"])
    cat, act, dog = (item["embedding"] for item in reply["data"])
    assert cat == pytest.approx(act, abs=1e-3)
    assert cat != pytest.approx(dog, abs=0.1)


def test_models_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (write_reciter(tmp_path / name, SENTENCE) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
