"""The real llama-server's own paths, through the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.acceptance.conftest import FOX
from tests.ggufs import write_reciter, write_reranker
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "endless-f32.gguf", FOX, endless=True, context_length=65536)
    write_reranker(folder / "sorter-reranker-f32.gguf")
    with running_server(folder) as running:
        running.wait_for_models("endless", "sorter-reranker")
        yield running


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/reranking", "/rerank", "/reranking"])
def test_a_reranker_answers_in_both_shapes(server: RunningServer, path: str) -> None:
    documents = ["zzz zzz", "abc abc", "abz abc"]
    body = {"model": "sorter-reranker", "query": "q", "documents": documents}
    reply = requests.post(server.url + path, json=body, timeout=120).json()
    assert reply["object"] == "list"
    assert len(reply["results"]) == 3
    best = max(reply["data"], key=lambda item: item["relevance_score"])
    assert (best["index"], best["document"]) == (0, documents[0])


def test_llama_servers_small_paths(server: RunningServer) -> None:
    def post(path: str, **more: object) -> requests.Response:
        body = {"model": "endless", **more}
        return requests.post(server.url + path, json=body, timeout=120)

    tokens = post("/tokenize", content="dog").json()["tokens"]
    assert post("/detokenize", tokens=tokens).json()["content"] == "dog"
    messages = [{"role": "user", "content": "hi"}]
    assert "hi" in post("/apply-template", messages=messages).json()["prompt"]
    for path in ("/props", "/slots", "/lora-adapters"):
        assert requests.get(f"{server.url}{path}?model=endless", timeout=60).ok
