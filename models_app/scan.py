"""Brings the rows of files and models up to date with what the tracked folders hold.

One scan goes: walk the folders, read the headers that are new or changed, then settle what only
shows with all files known: split models, projectors, draft models, models to introduce. A file
that cannot be read keeps its reason and stops nothing. Whatever the order of folders and files, the
outcome is the same; a scan that was cut off is made whole by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_app import drafts, file_rows, introduce, projectors, roots, splits
from models_app.facts import FileFacts
from models_app.kinds import Kind, with_projector, without_projector
from models_app.models import GgufFile, ModelFolder
from models_app.walk import FoundFile, Walk, identities, shown, walk

State = GgufFile.State

MAX_PROBLEMS = 20
"""Sentences kept with a folder; a disk that fails would give thousands."""

STORE_AFTER = 1.0
"""Seconds of reading after which the rows are written, so that a slow disk shows progress."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a scan stands. `processed` of `total` files are done; `current` is a path."""

    step: str
    current: str = ""
    total: int = 0
    processed: int = 0


Report = Callable[[Progress], None]


@dataclass(slots=True)
class Visit:
    """One folder on its way through a scan."""

    folder: ModelFolder
    found: Walk
    unchanged: list[GgufFile] = field(default_factory=list)
    pending: list[FoundFile] = field(default_factory=list)
    vanished: int = 0


def scan(
    folders: Iterable[ModelFolder], report: Report = lambda progress: None
) -> list[dict[str, Any]]:
    """Scan `folders` and return what each of them held, as `ScanRun.summary` keeps it.

    `report` hears of every folder and file before it is looked at, and ends the scan by raising.
    """
    visits = list(_walk_all(folders, report))
    known = {row.path: row for row in GgufFile.objects.all()}
    _tell_changed(visits, known)
    _mark_missing(visits, known)
    _read_pending(visits, known, report)
    settle()
    _close(visits)
    return [_summary(visit) for visit in visits]


def settle() -> None:
    """Work out what depends on all files: split models, pairs of files, models to introduce."""
    with transaction.atomic():
        introduce.lock()
        rows = list(GgufFile.objects.filter(folder__enabled=True))
        changed = {**_settle_splits(rows), **_settle_projectors(rows), **_settle_drafts(rows)}
        GgufFile.objects.bulk_update(
            changed.values(),
            ["state", "problem", "first_part", "parameters", "projector", "kind", "draft"],
            batch_size=file_rows.BATCH,
        )
        introduce.introduce(rows)


def _walk_all(folders: Iterable[ModelFolder], report: Report) -> Iterator[Visit]:
    tracked = identities(list(ModelFolder.objects.values_list("path", "recursive")))
    allowed = roots.roots()
    for folder in sorted(folders, key=lambda folder: folder.path):
        found = walk(
            folder.path,
            recursive=folder.recursive,
            others=tracked,
            roots=allowed,
            on_folder=lambda path: report(Progress("Looking through folders", shown(path))),
        )
        yield Visit(folder, found)


def _tell_changed(visits: Sequence[Visit], known: dict[str, GgufFile]) -> None:
    """Sort the found files into those that have to be read and those whose rows still hold."""
    for visit in visits:
        for found in visit.found.files:
            row = known.get(found.path)
            if row and file_rows.is_unchanged(row, found, visit.folder):
                visit.unchanged.append(row)
            else:
                visit.pending.append(found)


def _mark_missing(visits: Sequence[Visit], known: dict[str, GgufFile]) -> None:
    found = {file.path for visit in visits for file in visit.found.files}
    for visit in visits:
        missing = [
            row
            for row in known.values()
            if row.folder_id == visit.folder.pk and row.path not in found
        ]
        file_rows.mark_missing(missing, visit.found.is_closed)
        visit.vanished = sum(row.state == State.VANISHED for row in missing)


def _read_pending(visits: Sequence[Visit], known: dict[str, GgufFile], report: Report) -> None:
    now = timezone.now()
    total = sum(len(visit.found.files) for visit in visits)
    processed = 0
    batch: list[GgufFile] = []
    stored_at = monotonic()
    for visit in visits:
        file_rows.mark_seen(visit.unchanged, now)
        processed += len(visit.unchanged)
        for found in visit.pending:
            report(Progress("Reading files", shown(found.relative_path), total, processed))
            batch.append(file_rows.read(found, visit.folder, now))
            processed += 1
            if len(batch) == file_rows.BATCH or monotonic() - stored_at > STORE_AFTER:
                file_rows.store(batch, known)
                batch, stored_at = [], monotonic()
    file_rows.store(batch, known)
    report(Progress("Registering models", "", total, processed))


def _settle_splits(rows: Sequence[GgufFile]) -> dict[int, GgufFile]:
    """Apply `splits.settle` to `rows`; those that it changed, by primary key."""
    changed = {}
    for row, settled in splits.settle(rows):
        first_part = settled.first_part.pk if settled.first_part else None
        new = (settled.state, settled.problem, first_part, settled.parameters)
        if new != (row.state, row.problem, row.first_part_id, row.parameters):
            row.state, row.problem, row.first_part_id, row.parameters = new
            changed[row.pk] = row
    return changed


def _settle_projectors(rows: Sequence[GgufFile]) -> dict[int, GgufFile]:
    """Apply `projectors.pair` to `rows`; those that it changed, by primary key."""
    models = [row for row in rows if introduce.is_servable(row)]
    ready = [row for row in rows if row.kind == Kind.PROJECTOR and row.state == State.OK]
    pairs = projectors.pair(models, ready)
    changed = {}
    for row in models:
        projector = pairs.get(row.pk)
        kind = _kind_with(Kind(row.kind), projector)
        if (row.projector_id, row.kind) != (projector.pk if projector else None, kind):
            row.projector, row.kind = projector, kind
            changed[row.pk] = row
    return changed


def _kind_with(kind: Kind, projector: GgufFile | None) -> Kind:
    alone = without_projector(kind)
    if projector is None:
        return alone
    facts = FileFacts.from_json(projector.facts)
    return with_projector(alone, sees=facts.sees, hears=facts.hears)


def _settle_drafts(rows: Sequence[GgufFile]) -> dict[int, GgufFile]:
    """Apply `drafts.pair` to `rows`; those that it changed, by primary key."""
    models = [row for row in rows if _may_speak(row)]
    pairs = drafts.pair(models, [row for row in rows if row.first_part_id is not None])
    changed = {}
    for row in models:
        draft = pairs.get(row.pk)
        if row.draft_id != (draft.pk if draft else None):
            row.draft = draft
            changed[row.pk] = row
    return changed


def _may_speak(row: GgufFile) -> bool:
    """Whether the file is a whole model, be it one that only drafts."""
    drafts_only = row.kind == Kind.DRAFT and row.state == State.OK and row.first_part_id is None
    return drafts_only or introduce.is_servable(row)


def _close(visits: Sequence[Visit]) -> None:
    for visit in visits:
        problems = visit.found.problems
        more = len(problems) - MAX_PROBLEMS
        lines = problems[:MAX_PROBLEMS] + ([f"… and {more} more problems."] if more > 0 else [])
        ModelFolder.objects.filter(pk=visit.folder.pk).update(
            last_scanned_at=timezone.now(), problem="\n".join(lines)
        )


def _summary(visit: Visit) -> dict[str, Any]:
    """What is told of one folder: its models, or why it could not be read, and more counts."""
    rows = list(GgufFile.objects.filter(folder=visit.folder).defer("facts"))
    outcome = (
        {"status": "error", "error": visit.found.error}
        if visit.found.error
        else {"status": "success"}
    )
    return {
        "folder": visit.folder.path,
        **outcome,
        "models": sum(introduce.is_servable(row) for row in rows),
        "files": len(visit.found.files),
        "read": len(visit.pending),
        "vanished": visit.vanished,
        "unreadable": sum(row.state == State.UNREADABLE for row in rows),
        "incomplete": sum(row.state == State.INCOMPLETE for row in rows),
        "problems": len(visit.found.problems),
    }
