"""Tells `/api/events` how setting models up gets on: changed rows become configProgress events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from models_app.models import ScanRun
from models_app.progress import COLUMNS, config_progress
from proxy_app.events import EventHub

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""How often the newest scan is looked at while somebody listens."""

Row = dict[str, Any]


def newest_scan() -> Row | None:
    """The scan that was asked for last; None before the first."""
    row: Row | None = ScanRun.objects.values(*COLUMNS).order_by("-pk").first()
    return row


async def follow(
    ask: Callable[[Callable[[], Row | None]], Awaitable[Row | None]], hub: EventHub
) -> None:
    """Publish every change of the newest scan, until cancelled.

    `ask` runs a function that reads the database. A scan that was over before anybody listened
    is not told of. Nothing is asked while nobody listens.
    """
    told: tuple[int, dict[str, Any]] | None = None
    listened = False
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if not hub.is_heard:
            listened = False
            continue
        try:
            row = await ask(newest_scan)
        except Exception:
            logger.exception("The newest scan could not be read; it is tried again.")
            continue
        state = (row["id"], config_progress(row)) if row else None
        news = state is not None and state != told
        if news and row and (listened or row["finished_at"] is None):
            hub.publish("configProgress", config_progress(row))
        told, listened = state, True
