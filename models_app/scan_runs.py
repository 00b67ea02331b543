"""The life of a scan's row: asked for, claimed by one worker, reported on, ended, taken up again.

The row decides who runs a scan, by a lease (`leases.py`). A worker that dies leaves a row whose
lease runs out, and `sweep` hands it to the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from models_app import causes
from models_app.leases import LEASE, Leases, RunLost, hand_over, this_worker
from models_app.looking import look
from models_app.models import ModelFolder, ScanRun
from models_app.scan import Progress, Report, scan

logger = logging.getLogger(__name__)

Status = ScanRun.Status

_LEASES: Final = Leases(ScanRun, running=Status.RUNNING)

PATIENCE: Final = timedelta(seconds=30)
"""How long a queued scan may stay untouched while no other is running."""

STARTING: Final = timedelta(minutes=10)
"""How long no worker may come before a scan is ended. One starts within seconds, but not on a slow
machine under load, and a scan that was ended then would have to be asked for again."""

HEARTBEAT: Final = 1.0
"""Seconds between two reports, so that thousands of small files do not mean as many writes."""

MAX_ATTEMPTS: Final = 3

KEPT: Final = 200
"""Scans that are over and still listed; every download makes one more."""

TASK: Final = "models_app.tasks.scan"


def request(folders: Collection[ModelFolder] | None = None) -> ScanRun:
    """Ask the workers for a scan of `folders`; None or none: of all that are enabled.

    A scan of the same folders that is still waiting will see what this one would, so it is
    returned instead of a second one.
    """
    with transaction.atomic():
        run = _waiting_twin(folders or ())
        if run is None:
            run = create(folders)
            hand_over(TASK, run.pk)
    return run


def request_look(folders: Collection[tuple[str, bool]]) -> ScanRun:
    """Ask the workers what `folders` (path, recursive) hold; they are not tracked for that."""
    with transaction.atomic():
        run = create()
        run.look_at = [list(folder) for folder in folders]
        run.save(update_fields=["look_at"])
        hand_over(TASK, run.pk)
    return run


def create(folders: Collection[ModelFolder] | None = None) -> ScanRun:
    """A queued run that nobody was told about: for those who claim it themselves."""
    with transaction.atomic():
        run = ScanRun.objects.create(attempts=1)
        run.folders.set(folders or ())
        over = ScanRun.objects.filter(status__in=(Status.COMPLETED, Status.FAILED))
        old = list(over.order_by("-pk").values_list("pk", flat=True)[KEPT:])
        ScanRun.objects.filter(pk__in=old).delete()
    return run


def claim(pk: int, owner: str, now: datetime | None = None) -> ScanRun | None:
    """Take run `pk` for `owner`; None when it is somebody else's, or over.

    A queued run is free, and so is a running one whose owner has been silent for a lease.
    """
    now = now or timezone.now()
    free = ScanRun.objects.filter(
        Q(status=Status.QUEUED) | Q(status=Status.RUNNING, heartbeat_at__lt=now - LEASE), pk=pk
    )
    won = _LEASES.take(free, owner, now, started_at=now, processed=0, total=0)
    return ScanRun.objects.get(pk=pk) if won else None


def perform(pk: int, owner: str | None = None, listener: Report | None = None) -> ScanRun | None:
    """Claim run `pk` and do its scan to the end; None when it was not free.

    `listener` hears all progress. Whatever stops the scan ends the row too, with its reason.
    """
    run = claim(pk, owner or this_worker())
    if run is None:
        return None
    try:
        report = _reporter(run, listener)
        if run.look_at:
            summary, found = look(run.look_at, report)
        else:
            with causes.told(f"scan {pk}"):
                summary, found = scan(folders_of(run), report), []
        finish(run, summary, found)
    except RunLost:
        logger.warning("Scan %s went on elsewhere; this worker stops.", pk)
    except (Exception, KeyboardInterrupt) as error:
        fail(run, f"The scan was ended by {type(error).__name__}: {error}".rstrip(": "))
        raise
    return ScanRun.objects.get(pk=pk)


def folders_of(run: ScanRun) -> list[ModelFolder]:
    """The folders that the run scans: those it names, else all that are enabled."""
    return list(run.folders.all()) or list(ModelFolder.objects.filter(enabled=True))


def heartbeat(run: ScanRun, progress: Progress) -> None:
    """Report where the scan is and keep its lease. Raises `RunLost` when it is lost already."""
    _LEASES.write(
        run,
        heartbeat_at=timezone.now(),
        step=progress.step,
        current=progress.current[:4096],
        total=progress.total,
        processed=progress.processed,
    )


def finish(
    run: ScanRun, summary: list[dict[str, Any]], found: Collection[dict[str, Any]] = ()
) -> None:
    """End the run well. Raises `RunLost` when it is another worker's by now."""
    files = sum(folder["files"] for folder in summary)
    _LEASES.write(
        run,
        status=Status.COMPLETED,
        step="Completed",
        current="",
        summary=summary,
        found=list(found),
        total=files,
        processed=files,
        problem="",
        finished_at=timezone.now(),
    )


def fail(run: ScanRun, reason: str) -> None:
    """End the run badly, unless it is another worker's by now."""
    ScanRun.objects.filter(pk=run.pk, status=run.status, owner=run.owner).update(
        status=Status.FAILED, step="Failed", problem=reason, finished_at=timezone.now()
    )


def sweep(now: datetime | None = None) -> list[ScanRun]:
    """Take up again what a dead worker or a lost message left behind; the runs taken up.

    Call it every few seconds from one process. A run that workers died with `MAX_ATTEMPTS` times,
    or that none came for within `STARTING`, is ended with the reason instead.
    """
    now = now or timezone.now()
    silent = _LEASES.abandoned(now)
    busy = ScanRun.objects.filter(status=Status.RUNNING).count() > len(silent)
    # While a worker is busy with another scan, waiting is no sign of a lost message.
    ignored = (
        []
        if busy
        else list(ScanRun.objects.filter(status=Status.QUEUED, queued_at__lt=now - PATIENCE))
    )
    return [run for run in silent + ignored if _take_up(run, now)]


def _take_up(run: ScanRun, now: datetime) -> bool:
    """Queue `run` again, or end it after too many attempts or too long a wait.

    False when it is not taken up.
    """
    waits = run.status == Status.QUEUED
    alone_since = run.heartbeat_at or run.created_at
    if now - alone_since > STARTING if waits else run.attempts >= MAX_ATTEMPTS:
        fail(run, _given_up(run))
        return False
    with transaction.atomic():
        unchanged = ScanRun.objects.filter(
            pk=run.pk, status=run.status, heartbeat_at=run.heartbeat_at, queued_at=run.queued_at
        )
        won = unchanged.update(
            status=Status.QUEUED,
            owner="",
            queued_at=now,
            attempts=F("attempts") + (0 if waits else 1),  # nobody died with it
        )
        if won:
            hand_over(TASK, run.pk)
    return bool(won)


def _given_up(run: ScanRun) -> str:
    if run.status == Status.QUEUED:
        minutes = STARTING.total_seconds() / 60
        return f"No worker took it for {minutes:.0f} minutes. Is the Celery worker running?"
    where = f", the last time at {run.current}" if run.current else ""
    return f"The worker died {run.attempts} times during this scan{where}."


def _waiting_twin(folders: Collection[ModelFolder]) -> ScanRun | None:
    wanted = {folder.pk for folder in folders}
    waiting = ScanRun.objects.filter(status=Status.QUEUED, look_at=[]).prefetch_related("folders")
    for run in waiting:
        if {folder.pk for folder in run.folders.all()} == wanted:
            return run
    return None


def _reporter(run: ScanRun, listener: Report | None) -> Callable[[Progress], None]:
    last: float | None = None
    step = ""

    def report(progress: Progress) -> None:
        nonlocal last, step
        if last is None or progress.step != step or monotonic() - last >= HEARTBEAT:
            heartbeat(run, progress)
            last, step = monotonic(), progress.step
        if listener:
            listener(progress)

    return report
