"""A request whose engine died before it was asked goes to the next one."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models_app.document import ConfigDocument, ModelEntry
from proxy_app.errors import EngineNotReached
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.lineup import line_up
from proxy_app.process import Engine, EngineState
from proxy_app.runner import Runner
from tests.processes import ROOT

ENGINE = f"{sys.executable} -m tests.fake_engine --port ${{PORT}}"


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    async def no_descent(model: str, reason: str) -> bool:
        return False

    async def nothing(engine: Engine, seconds: float) -> None:
        return None

    guards = GuardPool()
    await guards.start()
    made = Runner(tmp_path, guards, Ledger(tmp_path / "ledger"), lambda: None, no_descent, nothing)
    entry = ModelEntry("fake", cmd=ENGINE, env=(f"PYTHONPATH={ROOT}",), concurrency_limit=1)
    made.apply(line_up(ConfigDocument(models={"fake": entry})))
    try:
        yield made
    finally:
        await made.close(0)
        await guards.aclose()


def kill(engine: Engine) -> None:
    """Kill it so fast that this process cannot have noticed: its loop has no turn meanwhile."""
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    assert engine.port is not None
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", engine.port)):
                return


async def ask(engine: Engine) -> int:
    assert engine.pool is not None
    async with await engine.pool.request(b"GET", b"/props", []) as response:
        return response.status


async def test_it_changes_to_the_next_engine_when_its_own_has_died(runner: Runner) -> None:
    with await runner.acquire("fake") as lease:
        first = lease.engine
        kill(first)
        with pytest.raises(EngineNotReached):
            await ask(first)
        assert await lease.renew()
        assert lease.engine is not first
        assert await ask(lease.engine) == 200
    # The only place was given back once, not twice.
    with await runner.acquire("fake") as lease:
        assert [status.in_flight for status in runner.statuses()] == [1]


async def test_it_gives_its_place_back_when_there_is_no_next_engine(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy_app.runner.NOTICE_SECONDS", 0.05)
    with await runner.acquire("fake") as lease:
        assert not await lease.renew()
        assert lease.engine.state is EngineState.READY
    assert [status.in_flight for status in runner.statuses()] == [0]
