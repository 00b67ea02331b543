"""What the real engine takes, read and remembered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from bench.families import Numbers, build
from bench.sparse_gguf import write
from models_app.buffers import Load
from models_app.gguf import read_header
from models_app.measured import loads_of
from models_app.memory import MemoryPlan, Placement, plan_memory
from models_app.shape_reader import shape_of
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.measure import measure
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineSpec
from tests.ggufs import write_reciter
from tests.llama import binary
from tests.server import ROOT, RunningServer, clean_environment, running_server, wait_until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(binary() is None, reason="no llama-server here"),
]

MIB = 1024**2
FOX = "The quick brown fox jumps over the lazy dog."
# 200 MiB of weights and 96 MiB of cache, so that the engine's own few are not what is compared.
NUMBERS = Numbers("mid", "llama", "", 12, 1024, 4096, 8192, 16, 4, 64, 4096, weights="Q8_0")
CONTEXT = 8192


@pytest.fixture
async def guards() -> AsyncIterator[GuardPool]:
    pool = GuardPool()
    try:
        yield pool
    finally:
        await pool.aclose(0)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write(tmp_path / "mid.gguf", build(NUMBERS))


def planned(path: Path) -> MemoryPlan:
    load = Load(context=CONTEXT, slots=1, unified=False)
    return plan_memory(shape_of(read_header(path)), load, Placement())


@pytest.mark.parametrize("shell", ["exec {}", "{}; true"], ids=["alone", "below a shell"])
async def test_what_is_read_of_an_engine_is_what_was_planned(
    guards: GuardPool, weights: Path, tmp_path: Path, shell: str
) -> None:
    program = binary()
    assert program is not None
    options = f"-c {CONTEXT} -np 1 --fit off --cache-ram 0 --threads 2"
    command = f"{program} -m {weights} --host 127.0.0.1 --port ${{PORT}} {options}"
    engine = Engine(
        EngineSpec(
            model_id="mid",
            argv=("sh", "-c", shell.format(command)),
            env={"LD_LIBRARY_PATH": str(program.parent)},
            log_path=tmp_path / "engine.log",
        ),
        guards=guards,
        ports=PortPool(24_200),
        ledger=Ledger(tmp_path / "ledger"),
    )
    await engine.ensure_ready()
    assert engine.pid is not None
    reading = measure(engine.pid)
    await engine.stop()

    assert reading is not None
    plan = planned(weights)
    assert reading.mapped == pytest.approx(plan.cpu.weights, rel=0.02)
    assert reading.private > plan.cpu.cache
    (cpu,) = loads_of(reading, plan)
    # The engine's own code and tables come on top; 64 MiB is far above what it needs of both.
    assert cpu.measured is not None
    assert plan.total <= cpu.measured <= plan.total + 64 * MIB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    folder = tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox-f32.gguf", FOX)
    with running_server(folder) as running:
        running.wait_for_models("fox")
        yield running


def plan(server: RunningServer) -> dict[str, Any]:
    reply = requests.get(f"{server.url}/api/models/fox/plan", timeout=30)
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()
    return found


def engine_of(server: RunningServer) -> int:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (pid,) = [child.pid for child in children if child.name() == "llama-server"]
    return pid


def test_a_server_learns_from_each_load_and_restarts_nothing_for_it(
    server: RunningServer, tmp_path: Path
) -> None:
    before = plan(server)
    assert before["measured"] is None
    body = {"model": "fox", "prompt": "x", "max_tokens": 3}
    assert requests.post(f"{server.url}/v1/completions", json=body, timeout=120).ok

    wait_until(lambda: plan(server)["measured"], "a measurement", server.said)

    learned = plan(server)
    assert learned["command"] == before["command"]
    assert learned["predicted"] == before["predicted"] < learned["measured"]
    assert learned["loadSeconds"] > 0
    assert any(reason["topic"] == "measured" for reason in learned["reasons"])
    pid = engine_of(server)
    # Another model makes the server plan again: the engine that runs is left alone.
    write_reciter(tmp_path / "models" / "sea-f32.gguf", FOX)
    subprocess.run(
        [sys.executable, "manage.py", "scan"],
        cwd=ROOT,
        env=clean_environment(server.home),
        check=True,
        capture_output=True,
        timeout=120,
    )
    server.wait_for_models("fox", "sea")
    assert engine_of(server) == pid
