"""The gateway between real clients and engines that say how requests arrived."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml

from proxy_app import paths
from tests.server import KEYED, ROOT, RunningServer, running_server, wait_until

PYTHONPATH = [f"PYTHONPATH={ROOT}"]
ECHO = {"cmd": f"{sys.executable} -m tests.echo_engine ${{PORT}}", "env": PYTHONPATH}
KEY_LINE = b"Authorization: any\r\n"
FAKE = {"cmd": f"{sys.executable} -m tests.fake_engine --port ${{PORT}}", "env": PYTHONPATH}

ODD_IDS = ('mödel "x"', "a%2Fb?c#d", "v1/models")

MODELS: dict[str, Any] = {
    "echo": {**ECHO, "checkEndpoint": "/", "aliases": ["gpt-4o"]},
    "lab/deep/echo": {**ECHO, "checkEndpoint": "/"},
    "renamed": {**ECHO, "checkEndpoint": "/", "useModelName": "real-name"},
    "filtered": {
        **ECHO,
        "checkEndpoint": "/",
        "filters": {
            "stripParams": "top_k, options.deep",
            "setParams": {"temperature": 0.2},
            "setParamsByID": {"filtered:warm": {"temperature": 1.5}},
        },
    },
    "fake": FAKE,
    "mortal": FAKE,
    **{name: {**ECHO, "checkEndpoint": "/"} for name in ODD_IDS},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    group = {"all": {"swap": False, "exclusive": False, "members": list(MODELS)}}
    config.write_text(yaml.safe_dump({"models": MODELS, "groups": group}))
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models(*MODELS)
        yield running


def told(reply: requests.Response) -> dict[str, Any]:
    assert reply.ok, reply.text
    found: dict[str, Any] = reply.json()
    return found


def post(server: RunningServer, path: str, body: Any, **more: Any) -> dict[str, Any]:
    return told(requests.post(server.url + path, json=body, timeout=60, **more))


PROMISED = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v1/reranking",
    "/rerank",
    "/reranking",
    "/infill",
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
}


@pytest.mark.parametrize("path", sorted(PROMISED.union(paths.BY_BODY)))
def test_every_path_reaches_the_engine_byte_for_byte(server: RunningServer, path: str) -> None:
    body = b'{ "model" : "echo",\n "n": 1.50, "x":"\\u00fc" }'
    heard = told(requests.post(f"{server.url}{path}?a=%20b&c", data=body, timeout=60))
    assert heard["path"] == f"{path}?a=%20b&c"
    assert heard["method"] == "POST"
    assert (heard["length"], heard["sha256"]) == (len(body), sha256(body).hexdigest())


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/props", "/slots", "/lora-adapters"])
def test_a_path_without_a_body_names_its_model_in_the_query(
    server: RunningServer, path: str
) -> None:
    url = f"{server.url}{path}?model=lab%2Fdeep%2Fecho"
    heard = told(requests.get(url, headers=KEYED, timeout=60))
    assert heard["path"].startswith(path)
    reply = requests.get(server.url + path, timeout=60)
    assert reply.status_code == 400
    assert "?model=" in reply.json()["error"]["message"]


def test_a_list_as_body_goes_to_the_model_of_the_query(server: RunningServer) -> None:
    scales = b'[{"id": 0, "scale": 0.5}]'
    heard = told(requests.post(f"{server.url}/lora-adapters?model=echo", data=scales, timeout=60))
    assert (heard["method"], heard["body"]) == ("POST", scales.decode())


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_model_wrote_is_never_taken_for_a_page(server: RunningServer, stream: bool) -> None:
    body = {"model": "fake", "messages": [], "stream": stream}
    url = f"{server.url}/v1/chat/completions"
    reply = requests.post(url, json=body, headers=KEYED, timeout=60)
    assert reply.ok, reply.text
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/none", "/running", "/info", "/health", "/unload", "/v1/embeddings"],
)
def test_its_own_answers_are_for_no_frame_either(server: RunningServer, path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = requests.get(server.url + path, headers=headers, timeout=60)
        assert reply.headers["X-Content-Type-Options"] == "nosniff", (path, reply.status_code)
        assert reply.headers["X-Frame-Options"] == "DENY", (path, reply.status_code)


@pytest.mark.parametrize("path", ["/lora-adapters?model=echo", "/upstream/echo/props"])
def test_what_changes_an_engines_settings_is_in_the_audit_log(
    server: RunningServer, path: str
) -> None:
    assert requests.post(server.url + path, data=b"[]", timeout=60).ok
    told = f"POST {path.partition('?')[0]}"
    address = f"{server.url}/api/audit?kind=models"
    wait_until(lambda: told in requests.get(address, timeout=60).text, "the act in the log")


def form_of(size: int, *, model_last: bool) -> tuple[bytes, dict[str, str]]:
    field = b'Content-Disposition: form-data; name="model"\r\n\r\nMODEL\r\n'
    file = (
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n" + bytes(range(256)) * (size // 256) + b"\r\n"
    )
    parts = [file, field] if model_last else [field, file]
    body = b"".join(b"--edge\r\n" + part for part in parts) + b"--edge--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=edge", **KEYED}


@pytest.mark.parametrize(
    "path", ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"]
)
@pytest.mark.parametrize("size", [1024, 5 * 1024 * 1024])
@pytest.mark.parametrize("model_last", [False, True])
def test_a_form_arrives_byte_for_byte_wherever_its_model_stands(
    server: RunningServer, path: str, size: int, model_last: bool
) -> None:
    body, headers = form_of(size, model_last=model_last)
    body = body.replace(b"MODEL", b"echo")
    heard = told(requests.post(server.url + path, data=body, headers=headers, timeout=60))
    assert heard["headers"]["content-type"] == headers["Content-Type"]
    assert heard["headers"]["content-length"] == str(len(body))
    assert heard["sha256"] == sha256(body).hexdigest()


def test_a_form_tells_the_engine_the_name_it_wants(server: RunningServer) -> None:
    body, headers = form_of(1024 * 1024, model_last=True)
    sent = body.replace(b"MODEL", b"renamed")
    url = f"{server.url}/v1/audio/transcriptions"
    heard = told(requests.post(url, data=sent, headers=headers, timeout=60))
    assert heard["sha256"] == sha256(body.replace(b"MODEL", b"real-name")).hexdigest()


def test_a_form_sent_in_chunks_arrives_too(server: RunningServer) -> None:
    body, headers = form_of(1024 * 1024, model_last=True)
    body = body.replace(b"MODEL", b"echo")
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    url = f"{server.url}/v1/audio/transcriptions"
    heard = told(requests.post(url, data=pieces, headers=headers, timeout=60))
    assert heard["sha256"] == sha256(body).hexdigest()


def test_a_form_without_a_model_is_told_what_is_missing(server: RunningServer) -> None:
    reply = requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("a.wav", b"x")},
        headers=KEYED,
        timeout=60,
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "model"


def test_filters_change_what_they_name_and_nothing_else(server: RunningServer) -> None:
    body = {"model": "filtered", "top_k": 4, "options": {"deep": 1, "kept": 2}, "temperature": 2}
    heard = post(server, "/v1/chat/completions", body)
    assert json.loads(heard["body"]) == {
        "model": "filtered",
        "options": {"kept": 2},
        "temperature": 0.2,
    }


def test_an_id_of_its_own_sets_fields_of_its_own(server: RunningServer) -> None:
    heard = post(server, "/v1/completions", {"model": "filtered:warm"})
    assert json.loads(heard["body"])["temperature"] == 1.5


def test_the_engine_is_told_the_name_it_wants_and_an_alias_otherwise(
    server: RunningServer,
) -> None:
    heard = post(server, "/v1/completions", {"model": "renamed"})
    assert json.loads(heard["body"])["model"] == "real-name"
    heard = post(server, "/v1/completions", {"model": "gpt-4o"})
    assert json.loads(heard["body"])["model"] == "gpt-4o"


def test_credentials_never_reach_the_engine(server: RunningServer) -> None:
    headers = {
        "Authorization": "Bearer secret-1",
        "X-API-Key": "secret-2",
        "Cookie": "sessionid=secret-3",
        "Proxy-Authorization": "secret-4",
        "X-Kept": "yes",
    }
    heard = post(server, "/v1/completions?api_key=secret-5&a=1", {"model": "echo"}, headers=headers)
    assert "secret" not in json.dumps(heard)
    assert heard["path"].endswith("?a=1")
    assert heard["headers"]["x-kept"] == "yes"


@pytest.mark.parametrize("model", ["echo", "lab/deep/echo", "lab%2Fdeep%2Fecho"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_upstream_passes_everything_on(server: RunningServer, model: str, method: str) -> None:
    url = f"{server.url}/upstream/{model}/any/path%20here?q=1"
    heard = told(requests.request(method, url, data=b"\x00raw", headers=KEYED, timeout=60))
    assert heard["method"] == method
    assert heard["path"] == "/any/path%20here?q=1"
    assert heard["body"] == "\x00raw"


def test_a_large_body_goes_upstream_without_being_kept(server: RunningServer) -> None:
    body = bytes(range(256)) * 20_000
    heard = told(requests.put(f"{server.url}/upstream/echo/file", data=body, timeout=60))
    assert heard["sha256"] == sha256(body).hexdigest()


def test_a_model_whose_id_has_slashes_is_found(server: RunningServer) -> None:
    found = told(requests.get(f"{server.url}/v1/models/lab/deep/echo", timeout=60))
    assert found["id"] == "lab/deep/echo"
    found = told(requests.get(f"{server.url}/v1/models/gpt-4o/", timeout=60))
    assert found["id"] == "echo"


@pytest.mark.parametrize("model", ODD_IDS)
def test_whatever_an_id_holds_its_model_is_reached(server: RunningServer, model: str) -> None:
    quoted = quote(model, safe="")
    assert post(server, "/v1/completions", {"model": model})["path"] == "/v1/completions"
    for asked, heard in (
        (f"/upstream/{quoted}/x", "/x"),
        (f"/slots?model={quoted}", f"/slots?model={quoted}"),
    ):
        reply = requests.get(server.url + asked, headers=KEYED, timeout=60)
        assert told(reply)["path"] == heard
    assert told(requests.get(f"{server.url}/v1/models/{quoted}", timeout=60))["id"] == model


def test_upstream_by_itself_leads_to_the_models_and_without_a_slash_to_the_root(
    server: RunningServer,
) -> None:
    bare = requests.get(f"{server.url}/upstream", allow_redirects=False, timeout=60)
    assert (bare.status_code, bare.headers["Location"]) == (302, "/ui/models/")
    assert requests.post(f"{server.url}/upstream", json={}, timeout=60).status_code == 405
    assert requests.get(f"{server.url}/upstream/", timeout=60).status_code == 400
    for path in ("/upstream/echo", "/upstream/echo/", "/upstream/lab/deep/echo"):
        assert told(requests.get(server.url + path, headers=KEYED, timeout=60))["path"] == "/"


def test_an_answer_has_one_date(server: RunningServer) -> None:
    """Engines that say it themselves had it written twice."""
    reply = requests.get(f"{server.url}/upstream/echo/", headers=KEYED, timeout=60)
    assert len(reply.raw.headers.getlist("date")) == 1


def test_two_content_types_are_refused(server: RunningServer) -> None:
    """The gateway would read a form where an engine might read JSON."""
    form = b"multipart/form-data; boundary=b"
    answer = say(
        server,
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nContent-Type: %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n" % form,
        b"{}",
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"two Content-Types" in answer


def test_a_client_that_asks_first_sends_its_body_when_it_is_wanted(server: RunningServer) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n"
    body = b'{"model":"echo"}'
    answer = say(server, head % len(body), body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    too_large = say(server, head % 10**10, b"")
    assert too_large.startswith(b"HTTP/1.1 413")


def say(server: RunningServer, head: bytes, body: bytes) -> bytes:
    """Send a request as it is; its answer until the connection ends."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(head + b"Host: localhost\r\nConnection: close\r\n%b\r\n" % KEY_LINE)
        answer = b""
        if b"Expect" in head:
            answer = client.recv(65536)
        client.sendall(body)
        while piece := client.recv(65536):
            answer += piece
    return answer


def test_info_tells_where_each_engine_is(server: RunningServer) -> None:
    post(server, "/v1/completions", {"model": "echo"})
    found = told(requests.get(f"{server.url}/info", timeout=60))
    assert found["total"] == len(MODELS)
    assert [item["model"] for item in found["models"]] == sorted(MODELS)
    (echo,) = (item for item in found["models"] if item["model"] == "echo")
    assert echo["running"] is True
    assert echo["proxy"] == f"http://127.0.0.1:{echo['port']}"
    assert set(echo) == {"model", "port", "proxy", "running", "name", "description"}


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("/v1/chat/completions", b'data: {"error":'),
        ("/v1/completions", b'data: {"error":'),
    ],
)
def test_a_stream_whose_engine_dies_ends_with_an_error_event(
    server: RunningServer, path: str, start: bytes
) -> None:
    body = {"model": "mortal", "stream": True, "fake": {"chunks": 5, "die_after": 2}}
    reply = requests.post(server.url + path, json=body, timeout=60)
    last = reply.content.strip().split(b"\n\n")[-1]
    assert last.startswith(start)
    assert b"engine_died_mid_stream" in last


def test_anthropics_clients_get_anthropics_errors(server: RunningServer) -> None:
    reply = requests.post(f"{server.url}/v1/messages", json={"model": "nobody"}, timeout=60)
    assert reply.status_code == 404
    assert reply.json()["type"] == "error"
    assert reply.json()["error"]["type"] == "not_found_error"


def test_a_body_over_the_limit_is_refused(server: RunningServer) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"model":"echo","x":"'
        while True:
            yield b"x" * 1_000_000

    try:
        reply = requests.post(f"{server.url}/v1/completions", data=endless(), timeout=60)
    except requests.ConnectionError:  # It hung up while we were still sending.
        return
    assert reply.status_code == 413


def test_no_upload_is_left_on_the_disk(server: RunningServer) -> None:
    uploads = Path(server.home) / "uploads"
    assert not uploads.exists() or not list(uploads.iterdir())


def test_a_request_has_one_id_for_its_client_its_engine_and_the_list(
    server: RunningServer,
) -> None:
    url = f"{server.url}/v1/chat/completions"
    own = requests.post(url, json={"model": "echo"}, headers={"X-Request-ID": "mine"}, timeout=60)
    assert own.headers["X-Request-ID"] == told(own)["headers"]["x-request-id"] == "mine"
    ours = requests.post(url, json={"model": "echo"}, timeout=60)
    number = ours.headers["X-Request-ID"]
    assert told(ours)["headers"]["x-request-id"] == number
    failed = requests.post(
        url,
        json={"model": "fake", "fake": {"status": 503}},
        headers={"X-Request-ID": "bad"},
        timeout=60,
    )
    assert failed.headers["X-Request-ID"] == "bad"
