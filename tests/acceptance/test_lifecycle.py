"""Starting, stopping and being killed: nothing is left behind, and every refusal has a reason."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests

from tests.acceptance.conftest import FOX, SEA, write_models
from tests.server import (
    ROOT,
    RunningServer,
    clean_environment,
    free_port,
    running_server,
    wait_until,
)

pytestmark = [pytest.mark.engine, pytest.mark.in_order]

CLIENTS = 8
ROUNDS = 4


def chat(server: RunningServer, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Go on."}]}
    reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    assert reply.status_code == 200, reply.text
    content: str = reply.json()["choices"][0]["message"]["content"]
    return content.strip()


def descendants(server: RunningServer) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def engines(server: RunningServer) -> list[psutil.Process]:
    found = []
    for process in descendants(server):
        try:
            if process.name() == "llama-server":
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def set_adopt_wait(server: RunningServer, seconds: int) -> None:
    """It works from the next load on at the latest."""
    with closing(sqlite3.connect(server.home / "claracore.sqlite3")) as database, database:
        database.execute("UPDATE models_app_serversettings SET adopt_wait = ?", (seconds,))


def serve(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *arguments],
        cwd=ROOT,
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(folder) as running:
        running.wait_for_models("fox", "sea")
        yield running


def test_alternating_requests_of_many_clients_never_load_two_models_at_once(
    server: RunningServer,
) -> None:
    most, stop = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.005):
            most = max(most, len(engines(server)))

    def talk(number: int) -> None:
        for turn in range(ROUNDS):
            model, text = (("fox", FOX), ("sea", SEA))[(number + turn) % 2]
            assert chat(server, model) == text

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(talk, range(CLIENTS)))
    finally:
        stop.set()
        watcher.join()
    assert most == 1


def test_an_engine_that_is_killed_is_noticed_and_loaded_again(server: RunningServer) -> None:
    chat(server, "fox")
    (engine,) = engines(server)
    engine.kill()
    running = f"{server.url}/running"
    wait_until(lambda: requests.get(running, timeout=30).json() == {"running": []}, "the notice")
    assert chat(server, "fox") == FOX


def test_a_second_server_on_the_same_home_is_refused(server: RunningServer) -> None:
    result = serve("--port", "1", home=server.home)
    assert result.returncode == 1
    assert f"process {server.process.pid}" in result.stderr


def test_ctrl_c_ends_engines_and_worker(server: RunningServer) -> None:
    chat(server, "fox")
    children = descendants(server)
    assert len(engines(server)) == 1
    assert server.stop() == 0
    assert all_gone(children)
    assert "Traceback" not in server.said()


# ---- Each with a server of its own ------------------------------------------------------------


def test_a_stream_in_flight_does_not_hold_up_the_stop_for_ever(folder: Path) -> None:
    with running_server(folder) as server:
        server.wait_for_models("endless")
        body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": True}
        reply = requests.post(
            f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=120
        )
        next(reply.iter_lines())
        children = descendants(server)
        assert server.stop() == 0
        assert all_gone(children)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "generating"])
def test_killing_the_server_leaves_no_process(folder: Path, busy: bool) -> None:
    with running_server(folder) as server:
        set_adopt_wait(server, 1)
        server.wait_for_models("fox", "endless")
        body = {"model": "endless", "messages": [{"role": "user", "content": "x"}], "stream": True}
        reply = requests.post(
            f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=120
        )
        next(reply.iter_lines())
        if not busy:
            reply.close()
        children = descendants(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: all_gone(children), "the end of all processes", server.said)


def test_a_client_that_stalls_does_not_hold_up_a_stop_asked_for_twice(folder: Path) -> None:
    with running_server(folder) as server:
        server.wait_for_models("fox")
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as stalled:
            stalled.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
            )
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert server.stop() == 0
        assert "Traceback" not in server.said()


def test_an_idle_model_is_unloaded_after_its_time_to_live(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("globalTTL: 1\n")
    with running_server(folder, arguments=["--config", str(config)]) as server:
        server.wait_for_models("fox")
        chat(server, "fox")
        wait_until(lambda: engines(server) == [], "the unloading", server.said)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = serve("--port", port, home=tmp_path / "home")
    assert result.returncode == 1
    assert f"Port {port}" in result.stderr


PASSWORD = "correct horse 9"
BEYOND = ("--host", "0.0.0.0", "--no-worker")

OF_SOMEBODY = (
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/api/config"),
    ("GET", "/api/settings/system"),
    ("POST", "/api/settings/system"),
    ("POST", "/api/models/unload"),
    ("GET", "/unload"),
    ("GET", "/running"),
    ("GET", "/logs"),
    ("GET", "/metrics"),
    ("GET", "/api/events"),
)


def answered(server: RunningServer, method: str, path: str) -> int:
    """What somebody gets who has neither account nor key, even on the same machine."""
    body: dict[str, str] | None = {} if method == "POST" else None
    reply = requests.request(
        method, server.url + path, json=body, allow_redirects=False, timeout=60
    )
    return reply.status_code


def assert_only_people_are_let_in(server: RunningServer) -> None:
    for method, path in OF_SOMEBODY:
        assert answered(server, method, path) == 401, (method, path)
    for page in ("/ui/", "/ui/models/", "/admin/"):
        assert answered(server, "GET", page) == 302, page


def filled_in(client: requests.Session, address: str, **fields: str) -> requests.Response:
    """Send a page's form as a browser does."""
    page = client.get(address, timeout=60)
    assert page.status_code == 200, page.text
    hidden = {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
    return client.post(address, {**hidden, **fields}, allow_redirects=False, timeout=60)


def sign_in(server: RunningServer, name: str, password: str) -> requests.Session | None:
    client = requests.Session()
    done = filled_in(client, f"{server.url}/ui/sign-in/", name=name, password=password)
    if done.status_code == 302:
        return client
    assert done.status_code == 422
    return None


def may_change_settings(server: RunningServer, client: requests.Session) -> bool:
    path = f"{server.url}/api/settings/system"
    return client.get(path, timeout=60).ok and client.post(path, json={}, timeout=60).ok


def test_beyond_loopback_nobody_is_let_in_before_the_first_administrator() -> None:
    with running_server(arguments=BEYOND) as server:
        wait_until(lambda: "/ui/welcome/" in server.said(), "the set-up link", server.said)
        link = re.search(r"http://\S+/ui/welcome/\S+/", server.said())
        assert link is not None
        assert_only_people_are_let_in(server)
        for path in ("/ui/welcome/", "/ui/welcome/guess/"):
            assert answered(server, "GET", path) == 403, path

        founder = requests.Session()
        fields = {"name": "boss", "password": PASSWORD, "again": PASSWORD}
        assert filled_in(founder, link[0], **fields).headers["Location"] == "/ui/"
        here = link[0].partition("/ui/")[0]
        assert founder.get(f"{here}/api/settings/system", timeout=60).ok

        second = requests.get(link[0], allow_redirects=False, timeout=60)
        assert (second.status_code, second.headers["Location"]) == (302, "/ui/sign-in/")
        assert_only_people_are_let_in(server)
        assert sign_in(server, "boss", "wrong") is None
        boss = sign_in(server, "boss", PASSWORD)
        assert boss is not None and may_change_settings(server, boss)


def test_the_set_up_link_leads_to_a_name_that_others_use() -> None:
    names = {"CLARACORE_ALLOWED_HOSTS": "llm.lan"}
    with running_server(arguments=BEYOND, env=names) as server:
        wait_until(lambda: "/ui/welcome/" in server.said(), "the set-up link", server.said)
        link = re.search(r"http://(llm\.lan:\d+)(/ui/welcome/\S+/)", server.said())
        assert link is not None, server.said()
        page = requests.get(server.url + link[2], headers={"Host": link[1]}, timeout=60)
        assert page.status_code == 200


@pytest.mark.parametrize("variable", ["CLARACORE_ADMIN_PASSWORD", "CLARACORE_ADMIN_PASSWORD_FILE"])
def test_beyond_loopback_the_environment_may_name_the_first_administrator(
    variable: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    given = {variable: str(file) if variable.endswith("_FILE") else PASSWORD}
    with running_server(arguments=BEYOND, env=given) as server:
        assert "/ui/welcome/" not in server.said()
        assert PASSWORD not in server.said()
        assert_only_people_are_let_in(server)
        assert sign_in(server, "admin", "wrong") is None
        admin = sign_in(server, "admin", PASSWORD)
        assert admin is not None and may_change_settings(server, admin)


def test_a_folder_that_is_none_is_refused_with_the_reason(tmp_path: Path) -> None:
    result = serve("--models-folder", str(tmp_path / "nowhere"), home=tmp_path / "home")
    assert result.returncode == 1
    assert "nowhere" in result.stderr


def test_a_bad_setting_stops_the_start_and_names_itself(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path / "home", {"CLARACORE_PORT": "many"})
    result = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert "CLARACORE_PORT must be a whole number" in result.stderr


def test_an_empty_server_says_what_to_do(tmp_path: Path) -> None:
    with running_server(arguments=["--no-worker"]) as server:
        assert server.models() == []
        assert "make run MODELS=" in server.said()
        assert "make demo" in server.said()


def test_an_engine_that_is_named_but_not_there_stops_the_start(tmp_path: Path) -> None:
    environment = clean_environment(
        tmp_path / "home", {"CLARACORE_LLAMA_SERVER": "/no/such/llama-server"}
    )
    result = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert "/no/such/llama-server" in result.stderr


def test_the_development_server_says_that_it_runs_no_engines(tmp_path: Path) -> None:
    port = free_port()
    console = tmp_path / "console.txt"
    environment = clean_environment(tmp_path / "home")
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    with console.open("wb") as out:
        process = subprocess.Popen(
            [*manage, "runserver", "--noreload", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return requests.get(f"{url}/admin/", timeout=30).ok
            except requests.ConnectionError:
                return False

        wait_until(answers, "the development server", console.read_text)
        reply = requests.get(f"{url}/v1/models", timeout=30)
        assert reply.status_code == 503
        assert "manage.py serve" in reply.json()["error"]["message"]
        assert "runs without engines" in console.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
