"""What docker-compose.yml starts, by the file's own commands, users, volumes and health checks."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests import container
from tests.compose import CORE, PASSWORD, Stack, read, running_stack
from tests.ggufs import write_reciter
from tests.server import wait_until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.in_order,
    pytest.mark.skipif(not container.can_run(), reason="namespaces are root's to make"),
]

FOX = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # Not pytest's folder, which only its owner may enter: containers run as others.
    with tempfile.TemporaryDirectory(prefix="claracore-compose-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        models = folder / "models"
        models.mkdir()
        write_reciter(models / "fox-f32.gguf", FOX)
        with running_stack(folder, models) as running:
            yield running


@pytest.fixture(scope="module")
def headers(stack: Stack) -> dict[str, str]:
    """Of a key that is made as the documentation says."""
    scopes = ["--scope", "inference", "--scope", "manage"]
    made = stack["web"].run(["python", "manage.py", "key", "create", "test", *scopes])
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


def says(stack: Stack, headers: dict[str, str]) -> str:
    body = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}
    reply = requests.post(
        f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=120
    )
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"]).strip()


def models(stack: Stack, headers: dict[str, str]) -> list[str]:
    reply = requests.get(f"{stack.url}/v1/models", headers=headers, timeout=30)
    return [one["id"] for one in reply.json().get("data", [])]


def rows(stack: Stack, headers: dict[str, str]) -> list[str]:
    """The models of all requests that are written down."""
    reply = requests.get(f"{stack.url}/api/requests", headers=headers, timeout=30)
    found: list[dict[str, Any]] = reply.json()["requests"]
    return [row["model"] for row in found]


def status_of(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_needs_the_folder_of_models_and_says_so() -> None:
    with pytest.raises(LookupError, match="set CLARACORE_MODELS to the folder"):
        read({})


def test_every_service_is_healthy_by_its_own_check(stack: Stack) -> None:
    stack.wait_until_healthy("worker")  # The stack waited for the others as it came up.
    told = requests.get(f"{stack.url}/health/ready", timeout=30).json()
    assert told == {"status": "ready", "database": {"status": "ok"}, "broker": {"status": "ok"}}


def test_nobody_in_it_is_root_or_has_a_capability_or_can_get_one(stack: Stack) -> None:
    for name in CORE:
        processes = stack[name].processes()
        assert processes
        for process in processes:
            told = status_of(process)
            assert "0" not in told["Uid"].split(), (name, process)
            assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0, (name, process)
            assert told["NoNewPrivs"] == "1"


def test_it_writes_only_into_its_volumes_and_what_is_temporary(stack: Stack) -> None:
    for name in ("web", "worker"):
        for path in ("/app/x", "/x", "/etc/x", "/venv/x"):
            assert "Read-only" in stack[name].run(["touch", path]).stderr
        for path in ("/data/x", "/tmp/x", "/models/x"):
            allowed = path != "/models/x"
            assert (stack[name].run(["touch", path]).returncode == 0) == allowed, path


def test_database_and_broker_listen_on_no_network(stack: Stack) -> None:
    for name in ("postgres", "redis"):
        for process in stack[name].processes():
            assert process.net_connections("inet") == []


def test_the_first_administrator_has_the_password_of_the_file(stack: Stack) -> None:
    with requests.Session() as session:
        page = f"{stack.url}/ui/sign-in/"
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(page).text)[0]
        form = {"name": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
        session.post(page, data=form, headers={"Referer": page}, timeout=30)
        assert session.get(f"{stack.url}/api/models", timeout=30).status_code == 200


def test_whoever_has_no_key_is_turned_away(stack: Stack) -> None:
    assert requests.get(f"{stack.url}/v1/models", timeout=30).status_code == 401


def test_a_model_of_the_folder_answers_and_the_worker_writes_it_down(
    stack: Stack, headers: dict[str, str]
) -> None:
    wait_until(lambda: models(stack, headers) == ["fox"], "the scan", stack["worker"].said)
    assert says(stack, headers) in FOX * 100

    wait_until(lambda: rows(stack, headers) == ["fox"], "its row", stack["worker"].said)


def test_it_is_backed_up_as_the_documentation_says(stack: Stack) -> None:
    done = stack["web"].run(["python", "manage.py", "backup", "/data/claracore.zip"])
    assert done.returncode == 0, done.stderr
    assert (stack.volume("home") / "claracore.zip").stat().st_size > 1000


def test_docker_stop_ends_the_server_and_its_engines_in_order(
    stack: Stack, headers: dict[str, str]
) -> None:
    said = len(stack["web"].said())
    assert stack.stop("web") == 0
    assert stack["web"].said()[said:].endswith("Stopped.\n")
    stack.start("web")
    stack.wait_until_healthy("web")
    assert says(stack, headers) in FOX * 100


def test_after_a_power_cut_everything_is_there_again(stack: Stack, headers: dict[str, str]) -> None:
    for name in CORE:
        stack[name].kill()
    for name in ("postgres", "redis", "web"):
        stack.start(name)
        stack.wait_until_healthy(name)
    stack.start("worker")
    assert models(stack, headers) == ["fox"]
    assert says(stack, headers) in FOX * 100
    wait_until(lambda: len(rows(stack, headers)) == 3, "its row", stack["worker"].said)
