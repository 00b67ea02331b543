"""Waiting for memory that engines held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from proxy_app import given_back
from proxy_app.budget import Bytes
from proxy_app.given_back import GivenBack


class Driver:
    """Gives memory back in steps, one at each look; every look takes a tenth of a second."""

    def __init__(self, *free: int) -> None:
        self.now = 100.0
        self.looks = 0
        self._free: Iterator[int] = iter(free)
        self._last = 0

    async def read(self) -> Bytes:
        self.looks += 1
        self.now += 0.1
        self._last = next(self._free, self._last)
        return {"GPU": self._last, "CPU": 1000}

    def clock(self) -> float:
        return self.now


async def waited(driver: Driver, need: int, limit: float = 5) -> dict[str, int]:
    back = GivenBack(driver.read, driver.clock)
    back.ended({"GPU": 8})
    assert back.concerns({"GPU": need}, limit)
    async with asyncio.timeout(60):
        return await back.wait({"GPU": need, "CPU": 5000}, limit)


async def test_it_waits_until_the_driver_gave_the_memory_back() -> None:
    """Regression: llama-swap#97, ollama#7130, #10784: the next model was started too early."""
    driver = Driver(1, 3, 9)
    assert await waited(driver, 8) == {}
    assert driver.looks == 3


async def test_it_looks_once_when_there_is_room() -> None:
    driver = Driver(9)
    assert await waited(driver, 8) == {}
    assert driver.looks == 1


async def test_it_gives_up_after_its_limit_and_says_what_is_missing() -> None:
    driver = Driver(1, 2)
    assert await waited(driver, 8, limit=1) == {"GPU": 6}
    assert driver.now < 102


async def test_devices_that_no_engine_left_are_not_waited_for() -> None:
    driver = Driver(0)
    back = GivenBack(driver.read, driver.clock)
    back.ended({"GPU2": 8})
    assert not back.concerns({"GPU": 8}, 5)


async def test_an_engine_that_ended_long_ago_is_not_waited_for() -> None:
    driver = Driver(0)
    back = GivenBack(driver.read, driver.clock)
    back.ended({"GPU": 8})
    driver.now += 6
    assert not back.concerns({"GPU": 8}, 5)


async def test_what_was_seen_to_be_back_is_not_looked_for_again() -> None:
    driver = Driver(9)
    back = GivenBack(driver.read, driver.clock)
    back.ended({"GPU": 8})
    await back.wait({"GPU": 8}, 5)
    assert not back.concerns({"GPU": 8}, 5)


def test_it_asks_often_enough_to_be_no_delay_of_its_own() -> None:
    assert given_back.POLL_SECONDS <= 0.05
