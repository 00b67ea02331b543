"""Asks Redis, where it is the broker, whether it is there."""

from __future__ import annotations

import asyncio
from typing import Final

import redis.asyncio as redis

from proxy_app.standing import Standing

PAUSE_SECONDS: Final = 1.0
LIMIT_SECONDS: Final = 5.0


async def watch(url: str, standing: Standing) -> None:
    """Keep `standing` true until cancelled."""
    client = redis.Redis.from_url(
        url, socket_timeout=LIMIT_SECONDS, socket_connect_timeout=LIMIT_SECONDS
    )
    async with client:
        while True:
            try:
                await client.ping()
            except (redis.RedisError, OSError) as error:
                standing.lost(error)
            else:
                standing.reached()
            await asyncio.sleep(PAUSE_SECONDS)
