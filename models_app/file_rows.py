"""What a scan writes about files: one row each, in short transactions, only what changed.

Scans own the columns named here; the others stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import transaction

from models_app.facts import FileFacts, facts_of
from models_app.gguf import GgufError, read_header
from models_app.models import GgufFile, ModelFolder
from models_app.walk import FoundFile

# Raise it when facts.py reads something new: every file is then read once more.
FACTS_VERSION: Final = 3

BATCH: Final = 100
"""Rows a transaction: other writers wait a few milliseconds at most."""

READ_COLUMNS: Final = (
    "folder",
    "path",
    "relative_path",
    "size",
    "mtime_ns",
    "state",
    "problem",
    "kind",
    "architecture",
    "quantization",
    "parameters",
    "context_length",
    "facts",
    "split_no",
    "split_count",
    "last_seen_at",
)

State = GgufFile.State


def is_unchanged(row: GgufFile | None, found: FoundFile, folder: ModelFolder) -> bool:
    """Whether what `row` says of the file still holds, so that it need not be opened."""
    return (
        row is not None
        and row.folder_id == folder.pk
        and (row.size, row.mtime_ns) == (found.size, found.mtime_ns)
        # Its rights may have been mended since, which does not touch the time.
        and row.state != State.UNREADABLE
        and row.facts.get("version") == FACTS_VERSION
    )


def read(found: FoundFile, folder: ModelFolder, seen_at: datetime) -> GgufFile:
    """The file as an unsaved row: its facts, or the reason why there are none."""
    row = GgufFile(
        folder=folder,
        path=found.path,
        relative_path=found.relative_path,
        size=found.size,
        mtime_ns=found.mtime_ns,
        last_seen_at=seen_at,
    )
    try:
        facts = facts_of(read_header(Path(found.path)), os.path.basename(found.path))
    except GgufError as error:
        row.state = State.UNREADABLE
        text = str(error)
        row.problem = text[:1].upper() + text[1:].rstrip(".") + "."
        return row
    _fill(row, facts)
    return row


def store(rows: Sequence[GgufFile], known: dict[str, GgufFile]) -> None:
    """Write what `read` gave. `known` holds all rows by path and is kept up to date.

    A file that is new under its path while its twin is gone from its own was moved: the twin's
    row moves with it, and so does everything that points to it.
    """
    with transaction.atomic():
        # A folder may be removed while it is being scanned.
        folders = set(
            ModelFolder.objects.select_for_update()
            .filter(pk__in={row.folder_id for row in rows})
            .values_list("pk", flat=True)
        )
        rows = [row for row in rows if row.folder_id in folders]
        moved = _moves([row for row in rows if row.path not in known], known.values())
        for row in rows:
            if old := known.get(row.path):
                _keep_settled_state(row, old)
            elif old := moved.get(row.path):
                row.pk = old.pk
                row.save(update_fields=READ_COLUMNS)
        GgufFile.objects.bulk_create(
            [row for row in rows if row.path not in moved],
            update_conflicts=True,
            unique_fields=["node", "path"],
            update_fields=[name for name in READ_COLUMNS if name != "path"],
        )
    for old in moved.values():
        del known[old.path]
    known.update({row.path: row for row in rows})


def mark_seen(rows: Sequence[GgufFile], seen_at: datetime) -> None:
    """Note that unchanged files are still there. One that had vanished is readable again."""
    for batch in _batches(rows):
        GgufFile.objects.filter(pk__in=batch).update(last_seen_at=seen_at)
    returned = [row for row in rows if row.state == State.VANISHED]
    for row in returned:
        # The other parts of a split model may still be away: that is settled at the end.
        row.state, row.problem = State.INCOMPLETE if row.split_count else State.OK, ""
    GgufFile.objects.bulk_update(returned, ["state", "problem"], batch_size=BATCH)


def mark_missing(rows: Iterable[GgufFile], is_closed: Callable[[str], bool]) -> None:
    """Note that a walk did not meet these files any more, and why."""
    changed = []
    for row in rows:
        before = row.state, row.problem
        row.state, row.problem = _why_missing(row.path, is_closed)
        if before != (row.state, row.problem):
            changed.append(row)
    GgufFile.objects.bulk_update(changed, ["state", "problem"], batch_size=BATCH)


def _why_missing(path: str, is_closed: Callable[[str], bool]) -> tuple[str, str]:
    if is_closed(path):
        return State.UNREADABLE, "Its folder cannot be read."
    if os.path.lexists(path):
        return State.VANISHED, "It is not among what its folder covers now."
    return State.VANISHED, "The file is no longer there."


def _fill(row: GgufFile, facts: FileFacts) -> None:
    row.kind = facts.kind.value
    row.architecture = facts.architecture[:64]
    row.quantization = facts.quantization[:32]
    row.parameters = facts.parameters or None
    row.context_length = facts.context_length
    row.facts = {"version": FACTS_VERSION, **facts.to_json()}
    if facts.split_count > 1:
        row.split_no, row.split_count = facts.split_no, facts.split_count
        # Whether the other parts are there is settled once all files are known.
        row.state = State.INCOMPLETE


def _keep_settled_state(row: GgufFile, old: GgufFile) -> None:
    """Do not call a part incomplete for the moment until the whole set is looked at."""
    if row.state == State.INCOMPLETE and old.state == State.OK:
        row.state = State.OK


def _moves(new: Sequence[GgufFile], known: Iterable[GgufFile]) -> dict[str, GgufFile]:
    """The row of its former place for every moved file, by its new path."""
    twins: dict[int, list[GgufFile]] = {}
    for old in known:
        if old.facts:
            twins.setdefault(old.size, []).append(old)
    moved: dict[str, GgufFile] = {}
    taken: set[int] = set()
    for row in sorted(new, key=lambda row: row.path):
        for old in twins.get(row.size, []):
            if old.pk not in taken and _is_moved(old, row):
                moved[row.path] = old
                taken.add(old.pk)
                break
    return moved


def _is_moved(old: GgufFile, row: GgufFile) -> bool:
    """Whether the file of `row` is the one that used to lie at `old`'s place.

    A move keeps the time to the nanosecond; a copy without it may still have kept the name.
    """
    same_name = os.path.basename(old.path) == os.path.basename(row.path)
    return (
        old.facts == row.facts
        and (old.mtime_ns == row.mtime_ns or same_name)
        and not os.path.lexists(old.path)
    )


def _batches(rows: Sequence[GgufFile]) -> Iterator[list[int]]:
    for start in range(0, len(rows), BATCH):
        yield [row.pk for row in rows[start : start + BATCH]]
