"""Turns changed rows of engine builds into events, as `downloads_app.news` does for downloads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from downloads_app.news import POLL_SECONDS, Ask, Publish, Told
from models_app.models import EngineInstall

logger = logging.getLogger(__name__)

REMOVED = "removed"


class News:
    """Which changes of builds were told, and which are still to tell."""

    def __init__(self) -> None:
        self._told = Told(("state", "phase", "active", "wanted", "reason", "note"))
        self._begun = False

    def events(self, builds: Mapping[str, dict[str, Any]], now: float) -> list[dict[str, Any]]:
        """What to tell of all `builds` there are at `now` (seconds); of the first ones, nothing."""
        if not self._begun:
            self._begun = True
            for key, one in builds.items():
                self._told.note(key, one, now)
        gone = [_event(key, {"id": int(key), "state": REMOVED}) for key in self._told.gone(builds)]
        return gone + [_event(key, one) for key, one in self._told.changed(builds, now)]


def all_builds() -> dict[str, dict[str, Any]]:
    """Every build as an event tells it, by its number. Uses the database."""
    return {str(row.pk): of_event(row) for row in EngineInstall.objects.all()}


def of_event(row: EngineInstall) -> dict[str, Any]:
    """How a build gets on. `progress` is in percent, -1 while nothing is known of it."""
    return {
        "id": row.pk,
        "version": row.version,
        "backend": row.backend,
        "source": row.source,
        "state": row.status,
        "phase": row.phase,
        "progress": progress(row),
        "doneBytes": row.done_bytes,
        "totalBytes": row.total_bytes,
        "active": row.active,
        "wanted": row.wanted,
        "reason": row.reason,
        "note": row.note,
    }


def progress(row: EngineInstall) -> float:
    """Percent of its bytes that are here; -1 while their number is not known."""
    if not row.total_bytes:
        return -1.0
    return round(min(100.0, 100 * row.done_bytes / row.total_bytes), 1)


async def follow(ask: Ask, publish: Publish, is_heard: Callable[[], bool]) -> None:
    """Publish `engineProgress` for every change of a build, until cancelled.

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
            builds = await ask(all_builds)
        except Exception:
            logger.exception("Builds of llama-server could not be read; it is tried again.")
            continue
        for event in news.events(builds, asyncio.get_running_loop().time()):
            publish("engineProgress", event)


def _event(key: str, one: Mapping[str, Any]) -> dict[str, Any]:
    return {"engineId": int(key), "info": one}
