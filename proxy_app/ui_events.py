"""The web UI's own event channel: how a scan gets on, as django-eventstream's events.

`/api/events` carries what clients of the server read; its messages are a contract. What only our
pages need goes over this channel, which Django serves at /ui/events/.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypedDict, cast

from django_eventstream import send_event
from django_eventstream.channelmanager import DefaultChannelManager
from django_eventstream.views import get_listener_manager

from models_app.models import ScanRun

logger = logging.getLogger(__name__)

CHANNEL = "ui"

POLL_SECONDS = 0.25
"""How often the newest scan is looked at while a page is open, and at most one is told of it."""

_closed = False


class ScanState(TypedDict):
    """The newest scan as pages and the `scan` event show it."""

    id: int
    status: str
    step: str
    current: str
    total: int
    processed: int
    problem: str


def newest_scan() -> ScanState | None:
    """The scan that was asked for last; None before the first."""
    row = ScanRun.objects.values(*ScanState.__annotations__).order_by("-pk").first()
    return cast(ScanState, row) if row else None


class Channels(DefaultChannelManager):  # type: ignore[misc]
    """Who may listen: everybody, until the server stops."""

    def can_read_channel(self, user: object, channel: str) -> bool:
        return not _closed

    def is_channel_reliable(self, channel: str) -> bool:
        """No event is kept: a page that was away reads the present state anew."""
        return False


async def follow_scans(
    ask: Callable[[Callable[[], ScanState | None]], Awaitable[ScanState | None]],
) -> None:
    """Tell open pages of every change of the newest scan, until cancelled.

    `ask` runs a function that uses the database, and gives its result. Nothing is asked while no
    page is open.
    """
    global _closed
    _closed = False
    told: ScanState | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if not _is_watched():
            continue
        try:
            state = await ask(newest_scan)
        except Exception:
            logger.exception("The newest scan could not be read; it is tried again.")
            continue
        if state is not None and state != told:
            send_event(CHANNEL, "scan", state)
            told = state


def tell_of_config() -> None:
    """Tell open pages that something is to be said of config.yaml, or no longer."""
    if _is_watched():
        send_event(CHANNEL, "config", {})


def close() -> None:
    """End every page's stream, so that the server can stop."""
    global _closed
    _closed = True
    manager = get_listener_manager()
    for listener in set(manager.listeners_by_channel.get(CHANNEL, ())):
        manager.kick(listener.user_id, CHANNEL)


def _is_watched() -> bool:
    return CHANNEL in get_listener_manager().listeners_by_channel
