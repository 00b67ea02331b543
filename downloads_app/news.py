"""Turns changed rows into events: workers write rows, the web process tells its listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from downloads_app import info
from downloads_app.models import Download

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
"""Between two events of one thing that tell progress only."""

OVERLAP = timedelta(seconds=5)
"""Rows may be committed a moment after the time they carry."""

Seen = Mapping[str, Any]
Ask = Callable[[Callable[[], Any]], Awaitable[Any]]
Publish = Callable[[str, Any], None]


class Told:
    """What was told of things last, by their keys, and whether it is time to tell them again."""

    def __init__(self, state: Iterable[str]) -> None:
        """`state` names the values whose change is told at once; all others are progress."""
        self._state = tuple(state)
        self._seen: dict[str, Seen] = {}
        self._at: dict[str, float] = {}

    def changed(self, things: Mapping[str, Seen], now: float) -> Iterator[tuple[str, Seen]]:
        """Those of `things` to tell of at `now` (seconds): each change of state at once, progress
        at most once a second. Things that are not among them are forgotten."""
        for key, seen in things.items():
            before = self._seen.get(key)
            if seen == before:
                continue
            soon = now - self._at.get(key, -PROGRESS_SECONDS) < PROGRESS_SECONDS
            if before and soon and all(seen[name] == before[name] for name in self._state):
                continue
            self.note(key, seen, now)
            yield key, seen
        for key in [key for key in self._seen if key not in things]:
            del self._seen[key], self._at[key]

    def note(self, key: str, seen: Seen, now: float) -> None:
        """Take it as told."""
        self._seen[key], self._at[key] = seen, now

    def gone(self, things: Mapping[str, Seen]) -> list[str]:
        """Keys of what was told of and is not among `things`."""
        return [key for key in self._seen if key not in things]


class News:
    """Which changes of downloads were told, and which are still to tell."""

    def __init__(self, now: datetime | None = None) -> None:
        self._since = now or timezone.now()
        self._told = Told(("status", "phase", "error", "note", "reusePath"))

    def changed(self) -> list[Download]:
        """Downloads that changed lately, by the database.

        May be left out while nothing is written: the window only grows by that. A clock that was
        set back is followed at once.
        """
        began = timezone.now()
        since = min(self._since, began) - OVERLAP
        found = list(info.rows().filter(changed_at__gte=since))
        self._since = began
        return found

    def events(self, downloads: list[Download], now: float) -> list[dict[str, Any]]:
        """What to tell of them at `now` (seconds)."""
        seen = {download.key: info.of_event(download) for download in downloads}
        return [{"downloadId": key, "info": one} for key, one in self._told.changed(seen, now)]


async def follow(ask: Ask, publish: Publish, is_heard: Callable[[], bool]) -> None:
    """Publish `downloadProgress` for every change of a download, until cancelled.

    `ask` runs a function that reads the database. Nothing is asked while nobody listens.
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
