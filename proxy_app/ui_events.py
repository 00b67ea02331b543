"""The web UI's own event channel, as django-eventstream's events.

`/api/events` carries what clients of the server read; its messages are a contract. What our pages
need goes over this channel, which Django serves at /ui/events/: small news that tell which part of
a page is no longer true, in bunches.

Every event is `{"version": "…-12", "value": …}`. Its number counts news, so that a page sees when
it missed one, and whoever has just come is told the present number (`hello`): a page that was made
at another one reads itself anew. Who only uses models hears on a channel of their own that
something is new, and of what others and the server do no more than that.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypedDict, cast

from django_eventstream import send_event
from django_eventstream.channelmanager import DefaultChannelManager
from django_eventstream.views import get_listener_manager

from models_app.models import ScanRun
from models_app.rights import Rights

logger = logging.getLogger(__name__)

CHANNEL = "ui"
USERS: Final = "ui-users"
LIMITED: Final = "ui-limited"
"""Of those who may use some models only: of others they hear no names."""
_CHANNELS: Final = (CHANNEL, USERS, LIMITED)
_FOR_EVERYBODY: Final = frozenset({"models", "requests", "config", "people"})
"""Kinds whose value says what GET /api/models tells users as well, or nothing."""

_SOME_MODELS: Final[dict[str, list[str]]] = {"changed": [], "gone": []}

POLL_SECONDS = 0.25
"""How often the newest scan is looked at while a page is open, and at most one is told of it."""

EXPECTED_SECONDS: Final = 10.0
"""How long a page that was just made is awaited as a listener."""

_RUN: Final = secrets.token_hex(4)
_count = 0
_expected_until = 0.0
_greeted: frozenset[int] = frozenset()
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


def channel_for(rights: Rights) -> str:
    """Where the pages of somebody listen."""
    if rights.manages_all:
        return CHANNEL
    return LIMITED if rights.is_limited else USERS


# ---- Telling -----------------------------------------------------------------------------------


def version() -> str:
    """The present number of news, for a page that is about to be made and will then listen."""
    global _expected_until
    _expected_until = time.monotonic() + EXPECTED_SECONDS
    return f"{_RUN}-{_count}"


def tell(kind: str, value: Any) -> None:
    """Tell open pages a piece of news. From any thread."""
    global _count
    _count += 1
    for channel in _heard():
        told = value if channel == CHANNEL or kind in _FOR_EVERYBODY else None
        if channel == LIMITED and kind == "models":
            told = _SOME_MODELS
        send_event(channel, kind, {"version": f"{_RUN}-{_count}", "value": told})


def tell_of_config() -> None:
    """Tell open pages that something is to be said of config.yaml, or no longer."""
    tell("config", {})


def tell_of_choices() -> None:
    """Tell open pages that people chose something else: settings, models, keys, accounts."""
    tell("config", {})
    tell("people", {})


def is_watched() -> bool:
    """Whether a page is open, or will be in a moment."""
    return bool(_heard()) or time.monotonic() < _expected_until


def _heard() -> list[str]:
    listeners = get_listener_manager().listeners_by_channel
    return [channel for channel in _CHANNELS if channel in listeners]


def _greet() -> None:
    """Tell whoever came since the last time how many news there were."""
    global _greeted
    manager = get_listener_manager()
    with manager.lock:
        present = {
            channel: frozenset(map(id, manager.listeners_by_channel.get(channel, ())))
            for channel in _CHANNELS
        }
    for channel, pages in present.items():
        if pages - _greeted:
            send_event(channel, "hello", {"version": f"{_RUN}-{_count}", "value": None})
    _greeted = frozenset().union(*present.values())


async def follow_scans(
    ask: Callable[[Callable[[], ScanState | None]], Awaitable[ScanState | None]],
) -> None:
    """Greet pages, and tell them of every change of the newest scan, until cancelled.

    `ask` runs a function that reads the database, and gives its result. Nothing is asked while no
    page is open.
    """
    global _closed, _count
    _closed = False
    told: ScanState | None = None
    watched = False
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if not is_watched():
            watched = False
            continue
        if not watched:
            # Nobody looked until now: what a page shows may be older.
            watched = True
            _count += 1
        _greet()
        try:
            state = await ask(newest_scan)
        except Exception:
            logger.exception("The newest scan could not be read; it is tried again.")
            continue
        if state is not None and state != told:
            tell("scan", state)
            told = state


def close() -> None:
    """End every page's stream, so that the server can stop."""
    global _closed, _expected_until
    _closed = True
    _expected_until = 0.0
    manager = get_listener_manager()
    for channel in _CHANNELS:
        for listener in set(manager.listeners_by_channel.get(channel, ())):
            manager.kick(listener.user_id, channel)


# ---- What clients of the server are told, in short ---------------------------------------------


class Relay:
    """Turns the messages of `/api/events` into news for pages; lives in one event loop."""

    PAUSE_SECONDS: Final = 0.25
    """News this close together are told as one."""

    def __init__(self) -> None:
        self._due: asyncio.TimerHandle | None = None
        self._waiting: dict[str, Any] = {}
        self._statuses: dict[str, dict[str, Any]] = {}

    def __call__(self, kind: str, value: Any) -> None:
        """Take a message over; kinds that no page follows are left alone."""
        if kind == "modelStatus":
            self._waiting["models"] = value
        elif kind == "metrics":
            self._waiting["requests"] = {"ended": len(value)}
        elif kind == "downloadProgress":
            self._waiting.setdefault("downloads", {})[value["downloadId"]] = value["info"]
        elif kind == "engineProgress":
            self._waiting.setdefault("engines", {})[value["engineId"]] = value["info"]
        elif kind == "notice":
            self._waiting.setdefault("notices", []).append(value)
        elif kind == "queue":
            self._waiting["queue"] = value
        else:
            return
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self.PAUSE_SECONDS, self._tell)

    def _tell(self) -> None:
        self._due = None
        waiting, self._waiting = self._waiting, {}
        for kind, value in waiting.items():
            news = self._changes(value) if kind == "models" else value
            if news is not None:
                tell(kind, news)

    def _changes(self, statuses: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The models whose status is another one than pages were told last; None for none."""
        before, self._statuses = self._statuses, {status["id"]: status for status in statuses}
        changed = [status for status in statuses if before.get(status["id"]) != status]
        gone = [model for model in before if model not in self._statuses]
        return {"changed": changed, "gone": gone} if changed or gone else None
