"""What a changed configuration does to engines that run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from proxy_app.process import EngineState
from tests.integration.test_any_command import House, house
from tests.processes import HANG_SECONDS, alive, command_of

__all__ = ["house"]


def engines_of(house: House) -> list[int]:
    """Live file servers of this house."""
    folder = str(house.folder / "pages")
    return [
        pid
        for pid in psutil.pids()
        if pid != os.getpid() and "http.server" in command_of(pid) and folder in command_of(pid)
    ]


async def until_restarted(house: House, before: int) -> int:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            engine = house.runner.engine("pages")
            if engine and engine.state is EngineState.READY and engine.pid not in (None, before):
                assert engine.pid is not None
                return engine.pid
            await asyncio.sleep(0.02)


async def test_a_reload_stops_nothing_that_did_not_change(house: House) -> None:
    """llama-swap PR#430: reload stops what did not change."""
    _, _, before = await house.get("pages", "/hello.txt")
    for number in range(5):
        house.configure(f"  more{number}:\n    cmd: sleep ${{PORT}}\n    checkEndpoint: none\n")
    assert (await house.get("pages", "/hello.txt"))[2] == before


async def test_quick_edits_never_run_a_model_twice(house: House) -> None:
    """llama-swap#281: quick edits start a model twice."""
    _, _, before = await house.get("pages", "/hello.txt")
    most = 0
    for number in range(6):
        house.configure_env(f"EDIT={number}")
        most = max(most, len(engines_of(house)))
        await asyncio.sleep(0.03)
    after = await until_restarted(house, before)
    most = max(most, len(engines_of(house)))
    assert most == 1
    assert not alive(before)
    assert engines_of(house) == [after]
    assert "EDIT=5" in Path(f"/proc/{after}/environ").read_text()


async def test_a_change_waits_for_the_requests_of_the_old_engine(house: House) -> None:
    async def ask() -> tuple[int, int]:
        with await house.runner.acquire("pages") as lease:
            pid = lease.engine.pid
            assert pid is not None and lease.engine.pool is not None
            house.configure_env("EDIT=now")
            await asyncio.sleep(0.1)
            assert alive(pid)
            async with await lease.engine.pool.request(b"GET", b"/hello.txt", []) as response:
                return response.status, pid

    status, before = await ask()
    assert status == 200
    assert await until_restarted(house, before) != before


@pytest.mark.parametrize("event", ["unloaded", "crashed"])
async def test_a_model_is_loaded_again_on_demand(house: House, event: str) -> None:
    """gpustack#1429, #3970: unload idle models, load on demand."""
    _, _, before = await house.get("pages", "/hello.txt")
    if event == "unloaded":
        await house.runner.unload("pages")
    else:
        os.kill(before, 9)
        async with asyncio.timeout(HANG_SECONDS):
            while house.runner.state("pages") is EngineState.READY:
                await asyncio.sleep(0.02)
    status, _, after = await house.get("pages", "/hello.txt")
    assert status == 200
    assert after != before
