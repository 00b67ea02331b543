"""The runner waits for memory that an engine held before it starts the next one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from models_app.devices import Device
from models_app.document import ConfigDocument, MemoryNeed, ModelEntry
from proxy_app.budget import Bytes
from proxy_app.errors import ModelUnloaded
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.lineup import QueueRules, line_up
from proxy_app.process import Engine, EngineState
from proxy_app.runner import Runner
from tests.processes import ROOT

ENGINE = f"{sys.executable} -m tests.fake_engine --port ${{PORT}}"
GPU = Device("GPU", "a card", 10, 10)
PATIENCE = 120.0


class Card:
    """A GPU whose driver gives memory back in steps, one at each look."""

    def __init__(self) -> None:
        self.free: Iterator[int] = iter(())
        self.last = 10
        self.looks = 0

    def read(self, devices: tuple[Device, ...]) -> Bytes:
        assert devices == (GPU,)
        self.looks += 1
        self.last = next(self.free, self.last)
        return {"GPU": self.last}


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
async def runner(tmp_path: Path, card: Card) -> AsyncIterator[Runner]:
    async def no_descent(model: str, reason: str) -> bool:
        return False

    async def nothing(engine: Engine, seconds: float) -> None:
        return None

    guards = GuardPool()
    await guards.start()
    ledger = Ledger(tmp_path / "ledger")
    made = Runner(tmp_path, guards, ledger, lambda: None, no_descent, nothing, read_free=card.read)
    try:
        yield made
    finally:
        await made.close(0)
        await guards.aclose()


def serve(runner: Runner, *, memory_wait: float) -> None:
    """Two models that each take most of the card."""
    entries = {
        name: ModelEntry(
            name, cmd=ENGINE, env=(f"PYTHONPATH={ROOT}",), memory=MemoryNeed({"GPU": 8})
        )
        for name in ("a", "b")
    }
    rules = QueueRules(
        side_by_side=True, memory_wait=memory_wait, budget={"GPU": 10}, devices=(GPU,)
    )
    runner.apply(line_up(ConfigDocument(models=entries), rules))


async def ask(runner: Runner, model: str) -> None:
    async with asyncio.timeout(PATIENCE):
        with await runner.acquire(model):
            pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_next_engine_starts_when_the_memory_is_back(runner: Runner, card: Card) -> None:
    """Regression: llama-swap#97, ollama#7130, ollama#10784."""
    serve(runner, memory_wait=PATIENCE)
    await ask(runner, "a")
    assert card.looks == 0, "nothing ended yet, so there was nothing to wait for"
    card.free = iter((2, 5, 9))
    await ask(runner, "b")
    assert card.looks == 3
    assert runner.state("a") is EngineState.STOPPED


async def test_after_the_longest_wait_it_says_so_and_goes_on(
    runner: Runner, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    serve(runner, memory_wait=0.2)
    await ask(runner, "a")
    card.last = 2
    with caplog.at_level(logging.WARNING):
        await ask(runner, "b")
    assert "b is started although" in caplog.text
    assert "of GPU are not free" in caplog.text


async def test_a_model_that_waits_for_memory_can_be_unloaded(runner: Runner, card: Card) -> None:
    serve(runner, memory_wait=PATIENCE)
    await ask(runner, "a")
    card.last = 2
    asking = asyncio.create_task(ask(runner, "b"))
    await until(lambda: card.looks > 1)
    assert runner.state("b") is EngineState.STARTING
    await runner.unload("b")
    with pytest.raises(ModelUnloaded):
        await asking
    assert runner.state("b") is EngineState.STOPPED
    card.last = 10
    await ask(runner, "b")


async def test_a_load_that_waits_for_memory_is_cancelled_when_nobody_waits_for_it(
    runner: Runner, card: Card
) -> None:
    """Regression: llama-swap#727."""
    serve(runner, memory_wait=PATIENCE)
    await ask(runner, "a")
    card.last = 2
    asking = asyncio.create_task(ask(runner, "b"))
    await until(lambda: card.looks > 1)
    asking.cancel()
    await until(lambda: runner.state("b") is EngineState.STOPPED)
    card.last = 10
    await ask(runner, "b")


async def test_models_that_turn_out_smaller_share_the_card(runner: Runner) -> None:
    serve(runner, memory_wait=PATIENCE)
    await ask(runner, "a")
    engine = runner.engine("a")
    assert engine is not None
    runner.measured(engine, {"GPU": 1})
    await ask(runner, "b")
    assert runner.state("a") is EngineState.READY
    assert runner.held() == {"GPU": 9}
    assert runner.measured_need("a") == {"GPU": 1}
