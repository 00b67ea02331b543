"""Stepping down with the real engine, which gets less memory than the machine seems to have."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bench.families import Numbers, build
from bench.sparse_gguf import write
from models_app.command import PORT, build_argv
from models_app.engine_build import Located, locate
from models_app.engine_help import EngineFlags
from models_app.gguf import read_header
from models_app.ladder import step_down
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.preferences import Candidate, Preferences
from models_app.shape_reader import shape_of
from models_app.tuning import Plan, choose
from proxy_app.start_failures import Diagnosis, diagnose

HANG_SECONDS = 120
LIMIT = 2 * GIB
MOST_RUNGS = 12
NUMBERS = Numbers("thirsty", "llama", "", 12, 512, 4096, 131072, 8, 8, 64, 1536)


def failure_of(found: Located, plan: Plan, limit: int, log: Path) -> Diagnosis | None:
    """Why an engine with `limit` bytes of address space did not load the model; None if it did."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = build_argv(str(found.path), plan.options, EngineFlags(known=False))
    argv = [str(port) if word == PORT else word for word in argv]
    limited = ["sh", "-c", f'ulimit -v {limit // 1024}; exec "$@"', "sh", *argv]
    with log.open("wb") as output:
        engine = subprocess.Popen(
            limited,
            env={**os.environ, **found.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + HANG_SECONDS
            while (status := engine.poll()) is None and time.monotonic() < deadline:
                if b"listening on http" in log.read_bytes():
                    return None
                time.sleep(0.02)
        finally:
            engine.kill()
            engine.wait()
    lines = log.read_text(errors="replace").splitlines()[-40:]
    killed = status is not None and status < 0
    return diagnose(lines, None if killed else status, -status if killed and status else None)


@pytest.mark.engine
def test_it_steps_down_until_the_engine_loads_within_a_memory_limit(tmp_path: Path) -> None:
    found = locate()
    if found is None:
        pytest.skip("no llama-server on this machine")
    path = write(tmp_path / "thirsty.gguf", build(NUMBERS))
    candidate = Candidate("thirsty", str(path), shape_of(read_header(path)))
    # The plan knows nothing of the limit: it believes in 16 GiB and wants 3 GiB of cache.
    machine = Machine("linux", "amd64", Cpu("x", 2, 2, 2), Ram(16 * GIB, 16 * GIB), devices=())
    wishes = Preferences(preferred_context=131072)
    plan = choose(candidate, machine, wishes)
    assert plan.memory.total > LIMIT
    for _ in range(MOST_RUNGS):
        for _ in range(5):
            # Now and then llama-server crashes before its log's thread has written a word.
            failure = failure_of(found, plan, LIMIT, tmp_path / "log")
            if failure is None or failure.kind.out_of_memory:
                break
        if failure is None:
            break
        assert failure.kind.out_of_memory, failure
        step = step_down(plan, candidate, machine, wishes)
        assert step is not None
        plan, _ = step
    else:
        pytest.fail("no rung was low enough")
    assert plan.memory.total < LIMIT
    assert plan.context_per_request >= wishes.min_context
