"""Which download is next: the rows' order decides, the broker's messages are only hints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from downloads_app.models import OVER, Download, DownloadSettings
from models_app.leases import Leases, hand_over

Status = Download.Status

LEASES: Final = Leases(Download, running=Status.DOWNLOADING)
TASK: Final = "downloads_app.tasks.work"

MAX_ATTEMPTS: Final = 5
"""Workers that may die with a download, one after the other, before a single byte more is here."""

PATIENCE: Final = timedelta(seconds=15)
"""How long a download may wait while there is room before the workers are told again."""

KEPT: Final = 200
"""Downloads that are over and still listed."""


def hint() -> None:
    """Tell the workers that there may be something to do."""
    hand_over(TASK)


def lock() -> None:
    """Keep other processes from claiming downloads until this transaction ends."""
    # SQLite has locked the whole database by now; elsewhere one row stands for the queue.
    DownloadSettings.current()
    DownloadSettings.objects.select_for_update().get(pk=1)


def claim_next(owner: str, now: datetime | None = None) -> Download | None:
    """Take the first waiting download for `owner`; None when there is none, or no room."""
    now = now or timezone.now()
    with transaction.atomic():
        lock()
        if _free_places() <= 0:
            return None
        first = Download.objects.filter(status=Status.PENDING).first()
        return claim(first.pk, owner, now) if first else None


def claim(pk: int, owner: str, now: datetime | None = None) -> Download | None:
    """Take the waiting download `pk` for `owner`, whatever else runs; None when it is not free."""
    now = now or timezone.now()
    free = Download.objects.filter(pk=pk, status=Status.PENDING)
    won = LEASES.take(
        free, owner, now, started_at=now, phase="looking", error="", error_kind="", changed_at=now
    )
    return Download.objects.get(pk=pk) if won else None


def put_back(download: Download, **values: Any) -> bool:
    """Let a download that is not running wait for its turn again; whether that changed it."""
    now = timezone.now()
    return bool(
        Download.objects.filter(
            pk=download.pk, status=download.status, owner=download.owner
        ).update(
            **{
                "status": Status.PENDING,
                "phase": "queued",
                "owner": "",
                "error": "",
                "error_kind": "",
                "speed": 0,
                "finished_at": None,
                "queued_at": now,
                "changed_at": now,
                **values,
            }
        )
    )


def sweep(now: datetime | None = None) -> int:
    """Take up again what dead workers left behind, and what a lost message forgot; how many.

    Call it every few seconds from one process.
    """
    now = now or timezone.now()
    taken = sum(_take_up(download, now) for download in LEASES.abandoned(now))
    waiting = Download.objects.filter(status=Status.PENDING)
    forgotten = waiting.filter(queued_at__lt=now - PATIENCE)
    if taken or (forgotten.exists() and _free_places() > 0):
        waiting.update(queued_at=now)
        hint()
    return taken


def reorder(keys: Sequence[str]) -> None:
    """Let waiting downloads start in this order, before those that are not named."""
    with transaction.atomic():
        lock()
        by_key = {row.key: row for row in Download.objects.exclude(status__in=OVER)}
        named = [by_key[key] for key in dict.fromkeys(keys) if key in by_key]
        others = [row for row in by_key.values() if row not in named]
        for position, row in enumerate([*named, *others], start=1):
            if row.position != position:
                Download.objects.filter(pk=row.pk).update(
                    position=position, changed_at=timezone.now()
                )


def forget_old() -> None:
    """Take away the rows of those that were over the longest."""
    over = Download.objects.filter(Q(status=Status.COMPLETED) | Q(status=Status.CANCELLED))
    old = list(over.order_by("-finished_at", "-pk").values_list("pk", flat=True)[KEPT:])
    Download.objects.filter(pk__in=old).delete()


def _free_places() -> int:
    running = Download.objects.filter(status=Status.DOWNLOADING).count()
    return DownloadSettings.current().at_once - running


def _take_up(download: Download, now: datetime) -> bool:
    if download.attempts >= MAX_ATTEMPTS:
        text = (
            f"The worker died {download.attempts} times with this download before it got any "
            "further. See the worker's log, then resume."
        )
        Download.objects.filter(
            pk=download.pk, status=Status.DOWNLOADING, owner=download.owner
        ).update(
            status=Status.FAILED,
            phase="",
            error=text,
            error_kind="worker",
            speed=0,
            finished_at=now,
            changed_at=now,
        )
        return False
    return put_back(download, attempts=F("attempts") + 1)
