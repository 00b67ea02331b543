"""Takes ended requests over from the journal, in the worker, whenever it has nothing better to do.

Reading what engines said and writing rows costs several times what a request costs the gateway, so
it happens in another process and behind everything else there.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from celery import signals
from django.conf import settings
from django.db import close_old_connections

from models_app.models import ServerSettings
from proxy_app import usage
from proxy_app.journal import segments

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 1.0
REST: Final = 4
"""Times as long as a turn took is the rest after it: a fifth of a processor that has nothing else
to do, some thousand requests a second."""

LONG_REST: Final = 12
"""The same where processors are wanted by others: rows come later instead of answers. Niceness does
not see to that. Linux shares a processor out by sessions first (autogroup), and counts it only
among those of one; and taken more seldom, it would hold the database for longer at a time."""

WANTED_BY_OTHERS: Final = 0.25
"""From this share of its time on that a turn waited for a processor, others want it."""

MOST_ROWS: Final = 200
"""After so many a turn ends: many short ones and rests take no more time from answers in one second
than in another."""

LAG_BYTES: Final = 64 * 1024 * 1024
"""Of journal, some 250,000 requests. With more there is no rest."""
FORGET_SECONDS: Final = 3600.0
HOURS_KEPT_DAYS: Final = 400
"""Days for which hourly sums are kept: a year and a month."""
NICENESS: Final = 15


def folder() -> Path:
    """Where the journal lies."""
    return Path(settings.CLARACORE_HOME) / "journal"


class Drain(threading.Thread):
    """Drains the journal again and again until it is told to stop."""

    def __init__(self, place: Path) -> None:
        super().__init__(name="usage drain", daemon=True)
        self._folder = place
        self._over = threading.Event()
        self._forget_at = time.monotonic()

    def run(self) -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        pause = PAUSE_SECONDS
        while not self._over.wait(pause):
            began, waited = time.monotonic(), _waited()
            more = self._turn() >= MOST_ROWS
            took = time.monotonic() - began
            rest = rest_after(took, _waited() - waited)
            pause = rest if more else max(PAUSE_SECONDS, rest)
            if _size(self._folder) > LAG_BYTES:
                pause = 0.0

    def stop(self) -> None:
        """End after what is being done; the rest stays in the journal."""
        self._over.set()
        self.join(timeout=10)

    def _turn(self) -> int:
        """How many rows were taken over."""
        close_old_connections()
        taken = 0
        try:
            taken = usage.drain(self._folder, MOST_ROWS)
            if time.monotonic() >= self._forget_at:
                days = ServerSettings.current().usage_days
                usage.forget(rows_days=days, hours_days=HOURS_KEPT_DAYS)
                self._forget_at = time.monotonic() + FORGET_SECONDS
        except Exception:
            logger.exception("Usage could not be taken over; it waits in %s.", self._folder)
            self._over.wait(10 * PAUSE_SECONDS)
        return taken


def rest_after(took: float, waited: float) -> float:
    """Seconds of rest after a turn, of which so much was waiting for a processor."""
    return took * (LONG_REST if waited > WANTED_BY_OTHERS * took else REST)


def _waited() -> float:
    """Seconds for which this thread could have run, and another had the processor; 0 if unknown."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _size(folder: Path) -> int:
    """Bytes of a journal."""
    sizes = 0
    for segment in segments(folder):
        with suppress(FileNotFoundError):  # A drain has just removed it.
            sizes += segment.stat().st_size
    return sizes


_drains: list[Drain] = []


@signals.worker_ready.connect
def start(**_: Any) -> None:
    """Celery calls this when its worker is up."""
    drain = Drain(folder())
    drain.start()
    _drains.append(drain)


@signals.worker_shutting_down.connect
def stop(**_: Any) -> None:
    """Celery calls this when its worker is told to end."""
    while _drains:
        _drains.pop().stop()
