from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
import requests

from tests.fake_engine import FAILURES
from tests.processes import HANG_SECONDS, ROOT, eventually
from tests.server import free_port

Engine = subprocess.Popen[str]
Start = Callable[..., tuple[Engine, str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts fake engines with the given switches; returns each with its address."""
    started: list[Engine] = []

    def run(*switches: str) -> tuple[Engine, str]:
        port = free_port()
        command = [sys.executable, "-m", "tests.fake_engine", "--port", str(port), *switches]
        engine = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(engine)
        return engine, f"http://127.0.0.1:{port}"

    yield run
    for engine in started:
        if engine.poll() is None:
            engine.kill()
        engine.wait()
        assert engine.stderr is not None
        engine.stderr.close()


def health(url: str) -> int:
    """The status of its health, 0 while nobody listens."""
    try:
        return requests.get(f"{url}/health", timeout=HANG_SECONDS).status_code
    except requests.ConnectionError:
        return 0


def stats(url: str) -> dict[str, int]:
    values: dict[str, int] = requests.get(f"{url}/fake/stats", timeout=HANG_SECONDS).json()
    return values


def stream(url: str, **faults: object) -> requests.Response:
    body = {"stream": True, "fake": faults}
    return requests.post(f"{url}/v1/chat/completions", json=body, stream=True, timeout=HANG_SECONDS)


def test_it_takes_the_real_engines_flags_and_answers(start: Start) -> None:
    _, url = start("--model", "/models/tiny.gguf", "-c", "4096", "--fit", "off", "--jinja")
    assert eventually(lambda: health(url) == 200)
    reply = requests.post(f"{url}/v1/chat/completions", json={}, timeout=HANG_SECONDS).json()
    assert reply["choices"][0]["message"]["content"] == "hello from tiny"
    native = requests.post(f"{url}/completion", json={}, timeout=HANG_SECONDS).json()
    assert native["content"] == "hello from tiny"


def test_a_stream_says_the_text_in_stamped_pieces(start: Start) -> None:
    _, url = start("--alias", "fox")
    assert eventually(lambda: health(url) == 200)
    with stream(url, text="one two three") as reply:
        events = [line[6:] for line in reply.iter_lines() if line.startswith(b"data: ")]
    assert events.pop() == b"[DONE]"
    chunks = [json.loads(event) for event in events]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == "one two three"
    stamps = [chunk["sent"] for chunk in chunks[:-1]]
    assert stamps == sorted(stamps)
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_it_loads_slowly_when_told(start: Start) -> None:
    engine, url = start("--load-seconds", "3600")
    assert eventually(lambda: health(url) == 503)
    assert requests.post(f"{url}/completion", json={}, timeout=HANG_SECONDS).status_code == 503
    engine.terminate()
    assert engine.wait(HANG_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize("cause", sorted(FAILURES))
def test_it_dies_while_loading_with_the_real_engines_words(start: Start, cause: str) -> None:
    engine, _ = start("--die-loading", cause)
    code = engine.wait(HANG_SECONDS)
    assert code == (-signal.SIGABRT if cause == "projector" else 1)
    assert engine.stderr is not None
    said = engine.stderr.read()
    assert all(line in said for line in FAILURES[cause])


def test_an_idle_one_ends_at_once_on_sigterm(start: Start) -> None:
    engine, url = start()
    assert eventually(lambda: health(url) == 200)
    engine.terminate()
    assert engine.wait(HANG_SECONDS) == 0


def test_a_busy_one_waits_for_its_clients_on_sigterm(start: Start) -> None:
    engine, url = start()
    assert eventually(lambda: health(url) == 200)
    with stream(url, chunks=100_000, drip=0.01) as reply:
        lines = reply.iter_lines()  # Dropping it would close the connection.
        next(lines)
        engine.terminate()
        assert eventually(lambda: "cleaning up" in said_so_far(engine))
        assert engine.poll() is None
    assert engine.wait(HANG_SECONDS) == 0


def said_so_far(engine: Engine) -> str:
    assert engine.stderr is not None
    return engine.stderr.readline()


def test_a_second_sigterm_ends_a_busy_one(start: Start) -> None:
    engine, url = start()
    assert eventually(lambda: health(url) == 200)
    with stream(url, chunks=100_000, drip=0.01) as reply:
        lines = reply.iter_lines()  # Dropping it would close the connection.
        next(lines)
        engine.terminate()
        assert eventually(lambda: "cleaning up" in said_so_far(engine))
        engine.terminate()
        assert engine.wait(HANG_SECONDS) == 1


def test_it_can_ignore_sigterm(start: Start) -> None:
    engine, url = start("--ignore-sigterm")
    assert eventually(lambda: health(url) == 200)
    engine.terminate()
    assert health(url) == 200
    engine.kill()
    assert engine.wait(HANG_SECONDS) == -signal.SIGKILL


def test_a_child_can_hold_the_port_after_its_end(start: Start) -> None:
    engine, url = start("--fork-child", "--keep-port")
    assert eventually(lambda: health(url) == 200)
    (child,) = psutil.Process(engine.pid).children()
    try:
        engine.kill()
        engine.wait()
        assert child.is_running()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(url.rpartition(":")[2])))
    finally:
        child.kill()


def test_it_dies_or_cuts_in_the_middle_of_an_answer(start: Start) -> None:
    engine, url = start()
    assert eventually(lambda: health(url) == 200)
    for faults in ({"cut_after": 2}, {"die_after": 2}):
        with (
            stream(url, **faults) as reply,
            pytest.raises(requests.exceptions.ChunkedEncodingError),
        ):
            list(reply.iter_content())
    assert engine.wait(HANG_SECONDS) == -signal.SIGKILL


def test_it_counts_clients_that_left(start: Start) -> None:
    _, url = start()
    assert eventually(lambda: health(url) == 200)
    with stream(url, chunks=100_000, drip=0.01) as reply:
        lines = reply.iter_lines()  # Dropping it would close the connection.
        next(lines)
        assert (stats(url)["in_flight"], stats(url)["aborted"]) == (1, 0)
    assert eventually(lambda: stats(url)["aborted"] == 1)
    assert (stats(url)["in_flight"], stats(url)["requests"]) == (0, 1)


def test_an_unknown_fault_is_an_error_that_names_the_known_ones(start: Start) -> None:
    _, url = start()
    assert eventually(lambda: health(url) == 200)
    with stream(url, dripp=1) as reply:
        assert reply.status_code == 500
        assert "drip" in reply.json()["error"]["message"]
