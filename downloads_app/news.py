"""Turns changed rows into events: workers write rows, the web process tells its listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from downloads_app import info
from downloads_app.models import Download

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
"""Between two events of one download that tell progress only."""

OVERLAP = timedelta(seconds=5)
"""Rows may be committed a moment after the time they carry."""

Told = dict[str, dict[str, Any]]


class News:
    """Which changes of downloads were told, and which are still to tell."""

    def __init__(self, now: datetime | None = None) -> None:
        self._since = now or timezone.now()
        self._told: Told = {}
        self._told_at: dict[str, float] = {}

    def changed(self) -> list[Download]:
        """Downloads that changed lately. Uses the database."""
        began = timezone.now()
        found = list(info.rows().filter(changed_at__gte=self._since - OVERLAP))
        self._since = began
        return found

    def events(self, downloads: list[Download], now: float) -> list[dict[str, Any]]:
        """What to tell of them at `now` (seconds): each change of state at once, progress at
        most once a second."""
        events = []
        for download in downloads:
            seen = info.of_event(download)
            before = self._told.get(download.key)
            if seen == before:
                continue
            soon = now - self._told_at.get(download.key, -PROGRESS_SECONDS) < PROGRESS_SECONDS
            if before and soon and _state(seen) == _state(before):
                continue
            self._told[download.key], self._told_at[download.key] = seen, now
            events.append({"downloadId": download.key, "info": seen})
        self._forget(downloads)
        return events

    def _forget(self, downloads: list[Download]) -> None:
        recent = {download.key for download in downloads}
        for key in [key for key in self._told if key not in recent]:
            del self._told[key], self._told_at[key]


async def follow(
    ask: Callable[[Callable[[], Any]], Awaitable[Any]],
    publish: Callable[[str, Any], None],
    is_heard: Callable[[], bool],
) -> None:
    """Publish `downloadProgress` for every change of a download, until cancelled.

    `ask` runs a function that uses the database. Nothing is asked while nobody listens.
    """
    news: News | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if not is_heard():
            news = None
            continue
        news = news or News()
        try:
            downloads = await ask(news.changed)
        except Exception:
            logger.exception("Downloads could not be read; it is tried again.")
            continue
        for event in news.events(downloads, asyncio.get_running_loop().time()):
            publish("downloadProgress", event)


def _state(seen: dict[str, Any]) -> tuple[Any, ...]:
    return seen["status"], seen["phase"], seen["error"], seen["note"], seen["reusePath"]
