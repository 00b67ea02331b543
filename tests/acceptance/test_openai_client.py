"""The official OpenAI client against the real server and the real engine."""

from __future__ import annotations

import openai
import pytest
import requests
from openai import OpenAI

from tests.acceptance.conftest import FOX, SEA, SOME_NUMBERS
from tests.server import KEYED, RunningServer, wait_until

pytestmark = pytest.mark.engine


def ask(client: OpenAI, model: str) -> str:
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Go on."}]
    )
    return (reply.choices[0].message.content or "").strip()


def is_generating(server: RunningServer, model: str) -> bool:
    slots = requests.get(f"{server.url}/upstream/{model}/slots", timeout=30).json()
    return any(slot["is_processing"] for slot in slots)


def test_it_chats(client: OpenAI) -> None:
    assert ask(client, "fox") == FOX


def test_it_swaps_to_another_model_and_back(client: OpenAI) -> None:
    assert [ask(client, model) for model in ("sea", "fox", "sea")] == [SEA, FOX, SEA]


def test_the_long_id_with_the_quantization_works_too(client: OpenAI) -> None:
    assert ask(client, "fox-f32") == FOX


def test_it_streams_while_the_engine_still_generates(client: OpenAI, server: RunningServer) -> None:
    with client.chat.completions.create(
        model="endless", messages=[{"role": "user", "content": "Go on."}], stream=True
    ) as stream:
        chunks = (chunk.choices[0].delta.content for chunk in stream if chunk.choices)
        assert next(text for text in chunks if text).strip() == "The"
        assert is_generating(server, "endless")


def test_a_stream_is_complete_and_in_order(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="numbers", messages=[{"role": "user", "content": "Count."}], stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces).strip() == SOME_NUMBERS
    assert len([piece for piece in pieces if piece]) > 100


def test_closing_a_stream_stops_the_engines_work(client: OpenAI, server: RunningServer) -> None:
    stream = client.chat.completions.create(
        model="endless", messages=[{"role": "user", "content": "Go on."}], stream=True
    )
    next(iter(stream))
    assert is_generating(server, "endless")
    stream.close()
    wait_until(lambda: not is_generating(server, "endless"), "the end of the generation")


def test_text_completions(client: OpenAI) -> None:
    reply = client.completions.create(model="sea", prompt="Far out", max_tokens=4)
    assert reply.choices[0].text.strip()


def test_embeddings(client: OpenAI) -> None:
    same, again, other = (
        item.embedding
        for item in client.embeddings.create(model="letters", input=["abc", "abc", "xyz"]).data
    )
    assert same == pytest.approx(again, abs=1e-4)
    assert same != pytest.approx(other, abs=1e-2)


def test_it_lists_what_can_be_served(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids == sorted(ids)
    assert {"fox", "sea", "letters"} <= set(ids)
    assert "broken" not in ids
    assert client.models.retrieve("fox").owned_by == "claracore"


def test_an_unknown_model_is_not_found_and_similar_names_are_offered(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="fox") as caught:
        ask(client, "foxx")
    assert caught.value.code == "model_not_found"


def test_both_slashed_and_plain_paths_work(server: RunningServer) -> None:
    for path in ("/v1/models", "/v1/models/", "/health", "/health/", "/running", "/running/"):
        assert requests.get(server.url + path, timeout=30).status_code == 200
    for path in ("/v1/chat/completions", "/v1/chat/completions/"):
        body = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}
        reply = requests.post(server.url + path, json=body, timeout=60)
        assert reply.json()["choices"][0]["message"]["content"].strip() == FOX


def test_the_engines_own_paths_are_reached_through_upstream(server: RunningServer) -> None:
    reply = requests.get(f"{server.url}/upstream/fox/props", headers=KEYED, timeout=60)
    assert reply.json()["model_path"].endswith("fox-f32.gguf")
    page = requests.get(f"{server.url}/upstream/fox/", headers=KEYED, timeout=60)
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def test_llama_servers_own_completion(server: RunningServer) -> None:
    body = {"model": "sea", "prompt": "Far out", "n_predict": 4}
    reply = requests.post(f"{server.url}/completion", json=body, timeout=60)
    assert reply.json()["content"].strip()


def test_unload_ends_the_engine_and_the_next_request_loads_it_again(
    client: OpenAI, server: RunningServer
) -> None:
    running = f"{server.url}/running"
    assert ask(client, "fox") == FOX
    assert requests.get(running, timeout=30).json() == {
        "running": [{"model": "fox", "state": "ready"}]
    }
    reply = requests.post(f"{server.url}/api/models/unload/", timeout=60)
    assert (reply.status_code, reply.json()) == (200, {"msg": "ok"})
    assert requests.get(running, timeout=30).json() == {"running": []}
    assert requests.get(f"{server.url}/unload", headers=KEYED, timeout=60).text == "OK"
    assert ask(client, "fox") == FOX


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/models/fox", "/running"])
def test_head_says_what_get_would_say_without_the_body(server: RunningServer, path: str) -> None:
    # One connection: a body that came along would be taken for the start of the next answer.
    with requests.Session() as session:
        head = session.head(f"{server.url}{path}", timeout=30)
        whole = session.get(f"{server.url}{path}", timeout=30)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["content-length"] == str(len(whole.content))


def test_head_unloads_nothing(client: OpenAI, server: RunningServer) -> None:
    assert ask(client, "fox") == FOX
    assert requests.head(f"{server.url}/unload", timeout=60).status_code == 405
    running = requests.get(f"{server.url}/running", timeout=30).json()["running"]
    assert {"model": "fox", "state": "ready"} in running


def test_a_model_can_be_loaded_and_unloaded_by_itself(server: RunningServer) -> None:
    reply = requests.post(f"{server.url}/api/models/sea/load", timeout=60)
    assert reply.json() == {"msg": "ok", "model": "sea", "state": "ready"}
    reply = requests.post(f"{server.url}/api/models/sea/unload", timeout=60)
    assert reply.json() == {"msg": "ok", "model": "sea", "state": "stopped"}
