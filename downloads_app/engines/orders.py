"""What a person asks for: a build to be installed, or one to go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from downloads_app.engines import archive, layout
from models_app import engine_installs
from models_app.engine_installs import NotPossible
from models_app.leases import Leases, hand_over
from models_app.models import EngineInstall

Status = EngineInstall.Status
Source = EngineInstall.Source

TASK: Final = "downloads_app.tasks.install_engine"
LEASES: Final = Leases(EngineInstall, running=Status.RUNNING)
MAX_ATTEMPTS: Final = 5
PATIENCE_SECONDS: Final = 15
"""How long a row may wait before the workers are told of it again."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which build, from where. Empty: the newest, and what suits this machine."""

    source: str = Source.RELEASE
    origin: str = ""
    version: str = ""
    backend: str = ""
    activate: bool = False


def place(order: Order) -> EngineInstall:
    """Have the workers install it; the one that is on its way already, if it is the same.

    Raises NotPossible when it cannot be.
    """
    check(order)
    with transaction.atomic():
        row = _twin(order)
        if row is not None:
            if order.activate:
                EngineInstall.objects.filter(pk=row.pk).update(wanted=True)
            return row
        row = EngineInstall.objects.create(
            source=order.source,
            origin=order.origin,
            version=order.version,
            backend=order.backend,
            wanted=order.activate,
        )
        hand_over(TASK, row.pk)
    return row


def check(order: Order) -> None:
    """Raises NotPossible when it cannot be carried out."""
    if order.source in (Source.ARCHIVE, Source.FOLDER) and not order.origin:
        raise NotPossible(f"path is required: say where the {order.source} is.")
    if not order.origin:
        return
    place = Path(order.origin)
    if not place.is_absolute():
        raise NotPossible("path must be absolute: it is looked up on the server.")
    if order.source == Source.ARCHIVE and not (place.is_file() and archive.is_archive(place)):
        raise NotPossible(f"{place} is no .zip or .tar.gz file on this server.")
    if order.source == Source.FOLDER and layout.binary_in(place) is None:
        raise NotPossible(f"{place} is no folder with a llama-server in it.")


def _twin(order: Order) -> EngineInstall | None:
    coming = (Status.QUEUED, Status.RUNNING, Status.TRYING)
    same = EngineInstall.objects.filter(
        status__in=coming, source=order.source, origin=order.origin, binary=""
    )
    if order.version:
        same = same.filter(version=order.version)
    if order.backend:
        same = same.filter(backend=order.backend)
    return same.first()


def claim(pk: int, owner: str) -> EngineInstall | None:
    """Take the waiting row for `owner`; None when it is not free."""
    free = EngineInstall.objects.filter(pk=pk, status=Status.QUEUED)
    won = LEASES.take(free, owner, timezone.now(), phase="looking", reason="")
    return EngineInstall.objects.get(pk=pk) if won else None


def sweep(now: datetime | None = None) -> None:
    """Take up what dead workers left behind, and what a lost message forgot."""
    now = now or timezone.now()
    for row in LEASES.abandoned(now):
        held = EngineInstall.objects.filter(pk=row.pk, status=Status.RUNNING, owner=row.owner)
        if row.attempts >= MAX_ATTEMPTS:
            held.update(
                status=Status.FAILED,
                phase="",
                reason=f"The worker died {row.attempts} times with it. See the worker's log.",
            )
        elif held.update(status=Status.QUEUED, owner="", attempts=F("attempts") + 1, queued_at=now):
            hand_over(TASK, row.pk)
    waiting = EngineInstall.objects.filter(status=Status.QUEUED)
    for row in waiting:
        if (now - row.queued_at).total_seconds() > PATIENCE_SECONDS:
            EngineInstall.objects.filter(pk=row.pk).update(queued_at=now)
            hand_over(TASK, row.pk)


def remove(row: EngineInstall) -> None:
    """Remove a build with its files. Raises NotPossible, OSError."""
    if why := engine_installs.why_kept(row):
        raise NotPossible(f"{row} stays: {why}.")
    if row.folder:
        layout.remove(Path(row.folder), row.pk)
    engine_installs.forget(row)


def prune() -> list[EngineInstall]:
    """Remove every build but the active one, the one before it, and those pinned or on the way.

    Returns those that are gone. Raises OSError.
    """
    gone = []
    for row in EngineInstall.objects.exclude(status=Status.QUEUED):
        if not engine_installs.why_kept(row) and not engine_installs.is_previous(row):
            remove(row)
            gone.append(row)
    return gone
