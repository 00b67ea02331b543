from __future__ import annotations

import asyncio

import pytest

from proxy_app.entrance import Entrance
from proxy_app.errors import GatewayError, QueueFull
from proxy_app.seats import Refusal, Ticket


def full(model: str, why: Refusal) -> GatewayError:
    assert why is Refusal.QUEUE_FULL
    return QueueFull(model, 1)


def test_one_that_arrives_is_let_through_at_once() -> None:
    entrance, ticket = Entrance(), Ticket("one", 0)
    entrance.arrive(ticket)
    assert entrance.grant(ticket)
    assert entrance.refused is None


def test_one_that_arrives_is_turned_away_at_once_and_the_next_is_not() -> None:
    entrance, ticket = Entrance(), Ticket("one", 0)
    entrance.arrive(ticket)
    entrance.refuse(ticket, Refusal.QUEUE_FULL, full)
    refusals = [entrance.refused]
    entrance.arrive(Ticket("one", 1))
    refusals.append(entrance.refused)
    assert refusals == [Refusal.QUEUE_FULL, None]


async def test_one_that_waits_hears_of_its_grant_or_refusal() -> None:
    entrance, lucky, other = Entrance(), Ticket("one", 0), Ticket("one", 1)
    waiting = [asyncio.create_task(entrance.wait(ticket)) for ticket in (lucky, other)]
    await asyncio.sleep(0)
    assert entrance.grant(lucky)
    entrance.refuse(other, Refusal.QUEUE_FULL, full)
    await waiting[0]
    with pytest.raises(QueueFull):
        await waiting[1]


async def test_one_that_left_is_not_granted() -> None:
    entrance, ticket = Entrance(), Ticket("one", 0)
    waiting = asyncio.create_task(entrance.wait(ticket))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not entrance.grant(ticket)
    entrance.refuse(ticket, Refusal.QUEUE_FULL, full)
