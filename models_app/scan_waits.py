"""Waits for a scan's row to end, for those who cannot answer before."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from models_app.leases import LEASE
from models_app.models import ScanRun

Status = ScanRun.Status

POLL_SECONDS: Final = 0.1
PATIENCE: Final = timedelta(seconds=30)
"""How long a worker may take to come for a scan while no other scan is being done."""


class NotDone(Exception):
    """The scan has not ended; the text says why not, and `code` the same for programs."""

    def __init__(self, run: ScanRun, text: str, code: str) -> None:
        super().__init__(text)
        self.run = run
        self.code = code


def wait_for(run: ScanRun, seconds: float) -> ScanRun:
    """The run's row once it is over, completed or failed.

    Raises `NotDone` after `seconds`, or before when no worker seems to be there.
    """
    deadline = time.monotonic() + seconds
    while True:
        run = ScanRun.objects.get(pk=run.pk)
        if run.status in (Status.COMPLETED, Status.FAILED):
            return run
        now = timezone.now()
        if is_forsaken(run, now):
            raise NotDone(
                run,
                "No worker does background work now: it is still starting, or not running. The "
                "scan is kept and done when one comes. See whether the Celery worker runs.",
                "WORKER_GONE",
            )
        if time.monotonic() >= deadline:
            raise NotDone(
                run,
                f"The scan was not done within {seconds:g} s. It goes on: follow it at "
                "/api/setup/progress.",
                "NOT_DONE_YET",
            )
        time.sleep(POLL_SECONDS)


def is_forsaken(run: ScanRun, now: datetime) -> bool:
    """Whether nobody seems to be there who would do the run."""
    if run.status == Status.RUNNING:
        return run.heartbeat_at is not None and run.heartbeat_at < now - LEASE
    if run.status != Status.QUEUED or run.created_at > now - PATIENCE:
        return False
    others = ScanRun.objects.filter(status=Status.RUNNING, heartbeat_at__gte=now - LEASE)
    return not others.exists()
