"""What a person may do to a download, at any moment and as often as they like."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from downloads_app import queue, stage
from downloads_app.models import Download

Status = Download.Status


class NotResumable(ValueError):
    """The download is over; the text says what to do instead."""


def pause(download: Download) -> bool:
    """Stop it where it is; what is here stays. Whether that changed anything."""
    return _end(download, Status.PAUSED, (Status.PENDING, Status.DOWNLOADING))


def resume(download: Download) -> bool:
    """Let a paused or failed download go on; whether that changed anything.

    Raises NotResumable for one that is completed or cancelled.
    """
    with transaction.atomic():
        queue.lock()
        download.refresh_from_db()
        if download.status in (Status.PENDING, Status.DOWNLOADING):
            return False
        if download.status not in (Status.PAUSED, Status.FAILED):
            raise NotResumable(
                f"The download is {download.get_status_display()}. Start it again instead."
            )
        changed = queue.put_back(download, attempts=0)
        queue.hint()
    return changed


def cancel(download: Download) -> bool:
    """End it for good and throw away what is here; whether that changed anything.

    Files of it that were finished before stay: they are whole.
    """
    over = (Status.COMPLETED, Status.CANCELLED)
    alive = [status for status in Status if status not in over]
    changed = _end(download, Status.CANCELLED, alive, token="", error="", error_kind="", note="")
    if changed:
        # A worker that still runs it finds that out within a second, and cleans up once more.
        discard(download)
    return changed


def discard(download: Download) -> None:
    """Take away the parts of its unfinished files."""
    for name in download.files.values_list("name", flat=True):
        stage.remove(Path(download.folder) / name, stage_key(download, name))


def stage_key(download: Download, name: str) -> str:
    """Under what the parts of one of its files are kept."""
    number = download.files.values_list("number", flat=True).get(name=name)
    return f"{download.key}-{number}"


def limit(download: Download, rate: int) -> None:
    """Let it take at most `rate` bytes per second; 0 lifts the limit. It counts at once."""
    Download.objects.filter(pk=download.pk).update(rate_limit=rate, changed_at=timezone.now())


def use_token(download: Download, token: str) -> None:
    """Send this token to the hub for it, whatever others use."""
    Download.objects.filter(pk=download.pk).update(token=token, changed_at=timezone.now())
    download.refresh_from_db()


def agree_to_reuse(download: Download) -> None:
    """Take the same content from elsewhere on this machine, where it seems to be."""
    Download.objects.filter(pk=download.pk).update(reuse=True, changed_at=timezone.now())
    download.refresh_from_db()
    if download.status == Status.DOWNLOADING:
        pause(download)
    if download.status not in (Status.COMPLETED, Status.CANCELLED):
        resume(download)


def _end(download: Download, status: str, of: Collection[str], **values: object) -> bool:
    now = timezone.now()
    changed = Download.objects.filter(pk=download.pk, status__in=of).update(
        status=status, phase="", speed=0, connections=0, finished_at=now, changed_at=now, **values
    )
    download.refresh_from_db()
    if changed:
        # Its place is free for the next one.
        queue.hint()
    return bool(changed)
