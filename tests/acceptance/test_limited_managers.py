"""Who may use or manage some models only is told of no other, and changes no other.

All answers are asked for while another model is loaded, answers, and has been used before.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import requests

from tests.acceptance.conftest import FOX, SEA
from tests.ggufs import write_reciter
from tests.management import in_home
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.in_order  # The last ones unload what the others look at.

MAKE = """
import json
from models_app import api_keys, people
from models_app.rights import Role
people.create("root", "correct horse 9", Role.ADMINISTRATOR)
both = ["inference", "manage"]
print(json.dumps({
    "all": api_keys.create("all", scopes=both)[1],
    "some": api_keys.create("some", scopes=both, allowed_models=["sea"])[1],
    "user": api_keys.create("user", scopes=["inference"], allowed_models=["sea"])[1],
    "by name": api_keys.create("by name", scopes=["inference"], allowed_models=["any"])[1],
}))
"""

FOR_EVERYBODY = (
    "/v1/models",
    "/running",
    "/info",
    "/api/models",
    "/ui/dashboard/",
    "/ui/models/",
    "/ui/queue/",
    "/ui/activity/",
    "/ui/activity/requests.csv",
    "/ui/keys/usage/",
    "/ui/playground/",
    "/api/usage?by=model",
    "/api/usage?by=day&format=csv",
    "/api/requests",
    "/api/requests/live",
)
FOR_MANAGERS = (
    "/metrics",
    "/api/metrics",
    "/api/queue",
    "/api/logs",
    "/api/models/sea/load",
    "/ui/logs/",
)
"""Each names the other model to who manages all."""

OF_ALL_MODELS = (
    "/logs",
    "/logs/stream",
    "/logs/stream/proxy",
    "/logs/stream/upstream",
    "/api/config",
    "/api/config/folders",
    "/api/models/downloads",
    "/ui/configuration/",
    "/ui/configuration/text/",
    "/ui/setup/",
    "/ui/downloads/",
)

OF_THE_OTHER = (
    ("POST", "/api/models/fox/load"),
    ("GET", "/api/models/fox/load"),
    ("POST", "/api/models/fox/unload"),
    ("GET", "/api/models/fox/plan"),
    ("POST", "/api/config/model/fox"),
    ("DELETE", "/api/config/models/fox"),
    ("GET", "/api/logs/fox/download"),
    ("GET", "/logs/stream/fox"),
    ("GET", "/upstream/fox/props"),
    ("GET", "/slots?model=fox"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    place = tmp_path_factory.mktemp("models")
    write_reciter(place / "fox-f32.gguf", FOX, endless=True, context_length=65536)
    write_reciter(place / "sea-f32.gguf", SEA)
    with running_server(place) as running:
        running.wait_for_models("fox", "sea")
        yield running


@pytest.fixture(scope="module")
def keys(server: RunningServer) -> dict[str, str]:
    made: dict[str, str] = json.loads(in_home(server.home, MAKE))
    wait_until(lambda: get(server, made["user"], "/v1/models").ok, "the keys")
    return made


@pytest.fixture(scope="module")
def busy(server: RunningServer, keys: dict[str, str]) -> Iterator[threading.Event]:
    """The other model was used, and answers one stream after the other until this is set."""
    ask(server, keys["all"], "fox", max_tokens=3).raise_for_status()
    enough = threading.Event()

    def stream() -> None:
        while not enough.is_set():
            with ask(server, keys["all"], "fox", max_tokens=-1, stream=True) as answer:
                for _ in answer.iter_content(None):
                    if enough.is_set():
                        break

    work = threading.Thread(target=stream)
    work.start()
    yield enough
    enough.set()
    work.join(timeout=120)


def get(server: RunningServer, key: str, path: str, method: str = "GET") -> requests.Response:
    return requests.request(
        method,
        server.url + path,
        headers={"X-API-Key": key},
        json={"description": "of the sea"} if "/config/model/" in path else None,
        timeout=60,
        allow_redirects=False,
    )


def ask(
    server: RunningServer, key: str, model: str, *, max_tokens: int = 3, stream: bool = False
) -> requests.Response:
    body = {"model": model, "prompt": "", "max_tokens": max_tokens, "stream": stream}
    return requests.post(
        f"{server.url}/v1/completions",
        headers={"Authorization": f"Bearer {key}"},
        json=body,
        timeout=120,
        stream=stream,
    )


@pytest.mark.parametrize("path", FOR_EVERYBODY + FOR_MANAGERS)
def test_a_page_or_answer_names_no_model_out_of_reach(
    server: RunningServer, keys: dict[str, str], busy: threading.Event, path: str
) -> None:
    wait_until(lambda: "fox" in get(server, keys["all"], path).text, "the other model's name")
    for who in ("some", "user") if path in FOR_EVERYBODY else ("some",):
        part = get(server, keys[who], path)
        assert part.status_code == 200, part.text
        assert "fox" not in part.text, who


@pytest.mark.parametrize("path", OF_ALL_MODELS)
def test_what_tells_of_all_models_is_closed_to_who_manages_some(
    server: RunningServer, keys: dict[str, str], busy: threading.Event, path: str
) -> None:
    refused = get(server, keys["some"], path)
    assert refused.status_code == 403
    assert "limited to some models" in refused.text and "fox" not in refused.text


@pytest.mark.parametrize(("method", "path"), OF_THE_OTHER)
def test_a_model_out_of_reach_is_not_managed_with_a_limited_key(
    server: RunningServer, keys: dict[str, str], busy: threading.Event, method: str, path: str
) -> None:
    refused = get(server, keys["some"], path, method)
    assert refused.status_code == 403
    assert "not_allowed" in refused.text.lower() and "administrator" in refused.text


def test_an_unknown_name_gets_no_suggestion_out_of_reach(
    server: RunningServer, keys: dict[str, str], busy: threading.Event
) -> None:
    for path in ("/api/models/foxx/load", "/api/models/foxx/unload"):
        unknown = get(server, keys["some"], path, "POST")
        assert unknown.status_code == 404 and "fox " not in unknown.text.replace("foxx", "")


def test_events_are_those_of_the_own_models(
    server: RunningServer, keys: dict[str, str], busy: threading.Event
) -> None:
    """Of queues, logs and notices whoever manages some models hears nothing."""
    heard = []
    headers = {"X-API-Key": keys["some"]}
    with requests.get(
        f"{server.url}/api/events", headers=headers, timeout=60, stream=True
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith(b"data:"):
                heard.append(json.loads(line[5:])["type"])
                assert b"fox" not in line
                if heard[-1] == "modelStatus":
                    break
    assert heard == ["modelStatus"]


def test_who_manages_some_models_unloads_those(
    server: RunningServer, keys: dict[str, str], busy: threading.Event
) -> None:
    for method, path in (("POST", "/api/models/unload?force=1"), ("GET", "/unload")):
        assert get(server, keys["some"], path, method).ok
    running = get(server, keys["all"], "/running").json()["running"]
    assert [model["model"] for model in running] == ["fox"]


def test_a_virtual_model_does_not_tell_its_members(
    server: RunningServer, keys: dict[str, str], busy: threading.Event
) -> None:
    make = "from models_app.models import VirtualModel\n"
    make += "VirtualModel.objects.create(name='any', members=['fox', 'sea'])"
    in_home(server.home, make)
    wait_until(
        lambda: "any" in get(server, keys["by name"], "/v1/models").text, "the virtual model"
    )
    listed = get(server, keys["by name"], "/v1/models")
    assert [model["id"] for model in listed.json()["data"]] == ["any"]
    assert "fox" not in listed.text


def test_a_limited_key_manages_its_own_models(
    server: RunningServer, keys: dict[str, str], busy: threading.Event
) -> None:
    busy.set()
    key = keys["some"]
    for method, path in (
        ("GET", "/api/models/sea/plan"),
        ("POST", "/api/models/sea/load"),
        ("GET", "/api/logs/sea/download"),
        ("POST", "/api/models/sea/unload"),
        ("POST", "/api/config/model/sea"),
    ):
        done = get(server, key, path, method)
        assert done.ok, done.text
