from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from models_app.kinds import Kind
from ui_app.snippets import SOUND, curl, every

SERVER = "http://127.0.0.1:5800"


def read_back(command: str) -> tuple[str, dict[str, Any]]:
    """The address and the body, as a shell hands them to curl."""
    words = shlex.split(command.replace("\\\n", ""))
    address = next(word for word in words if word.startswith("http"))
    return address, json.loads(words[words.index("-d") + 1])


@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        (Kind.CHAT, "/v1/chat/completions", {"model", "messages", "stream"}),
        (Kind.BASE, "/v1/completions", {"model", "prompt", "max_tokens", "stream"}),
        (Kind.EMBEDDING, "/v1/embeddings", {"model", "input"}),
        (Kind.RERANKER, "/v1/rerank", {"model", "query", "documents"}),
        (Kind.SPEECH, "/v1/audio/speech", {"model", "input", "voice"}),
        ("", "/v1/chat/completions", {"model", "messages", "stream"}),
    ],
)
def test_it_asks_what_the_kind_can_answer(kind: str, path: str, fields: set[str]) -> None:
    address, body = read_back(curl(SERVER, "tiny", kind))
    assert address == SERVER + path
    assert set(body) == fields
    assert body["model"] == "tiny"


@pytest.mark.parametrize(
    "model",
    ["it's; rm -rf ~", 'say "hi" $(id) `id`', "org/model:q4", "модель \\ 模型", "a\nb"],
)
@pytest.mark.parametrize("kind", [Kind.CHAT, Kind.RERANKER])
def test_a_shell_reads_any_model_name_as_it_is(model: str, kind: str) -> None:
    assert read_back(curl(SERVER, model, kind))[1]["model"] == model


def test_a_streamed_answer_is_shown_as_it_comes() -> None:
    assert "--no-buffer" in curl(SERVER, "tiny", Kind.CHAT)
    assert "--no-buffer" not in curl(SERVER, "tiny", Kind.EMBEDDING)


def test_a_model_that_speaks_is_shown_how_its_sound_is_kept() -> None:
    found = {snippet.key: snippet.text for snippet in every(SERVER, "voice", Kind.SPEECH)}
    assert list(found) == ["curl", "python", "javascript"]
    assert all(SOUND in text for text in found.values())
    assert "reply.json()" not in found["javascript"]
