"""Usage in the database: rows taken over from the journal, and their sums."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from operator import add, attrgetter
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from models_app.models import ApiKey
from proxy_app.counting import counts_of
from proxy_app.entries import Entry, entry_of
from proxy_app.journal import read_from, segments
from proxy_app.keys import NOTED_EVERY
from proxy_app.models import JournalMark, UsageCount, UsageDay, UsageHour, UsageRow

logger = logging.getLogger(__name__)

_AS_THEY_ARE: Final = (
    "model",
    "path",
    "key_id",
    "person_id",
    "status",
    "error",
    "streamed",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "prompt_per_second",
    "tokens_per_second",
    "queue_ms",
    "load_ms",
    "first_ms",
    "prompt_ms",
    "generation_ms",
    "total_ms",
    "engine_seconds",
    "gpu_seconds",
    "request_id",
)
_SUMMED: Final = (
    "requests",
    "errors",
    "stopped",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "total_ms",
    "engine_seconds",
    "gpu_seconds",
)

_values_of = attrgetter(*_AS_THEY_ARE)
_sums_of = attrgetter(*_SUMMED)

_Key = tuple[datetime, str, int, int]
"""Beginning, model, key and person of a sum."""


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    errors: int = 0
    stopped: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    total_ms: float = 0
    engine_seconds: float = 0
    gpu_seconds: float = 0

    def add(self, entry: Entry) -> None:
        self.requests += 1
        self.errors += entry.failed
        self.stopped += entry.stopped
        self.tokens_in += entry.tokens_in or 0
        self.tokens_cached += entry.tokens_cached or 0
        self.tokens_out += entry.tokens_out or 0
        self.total_ms += entry.total_ms
        self.engine_seconds += entry.engine_seconds
        self.gpu_seconds += entry.gpu_seconds


_Sums = Mapping[_Key, tuple[float, ...]]
"""The values of sums, in the order of `_SUMMED`."""


def drain(folder: Path, most: float = math.inf) -> int:
    """Take over what the journal holds, and remove segments that are done; how many rows came.

    No bunch is begun after `most` rows.

    Raises what the database raises; then nothing is lost, and the next call goes on at the same
    place. Of two drains at once each line is taken by one.
    """
    marks = dict(JournalMark.objects.values_list("segment", "offset"))
    present = segments(folder)
    taken = 0
    for segment in present:
        offset = marks.pop(segment.name, 0)
        while True:
            lines, end = read_from(segment, offset)
            if end == offset:
                break
            entries = [entry_of(line) for line in lines]
            if not take_over(entries, segment.name, offset, end):
                return taken
            taken += len(entries)
            offset = end
            if taken >= most:
                return taken
        if segment != present[-1]:  # The newest may still grow.
            _remove(segment, offset)
    JournalMark.objects.filter(segment__in=list(marks)).delete()
    return taken


def take_over(entries: Sequence[Entry], segment: str, start: int, end: int) -> bool:
    """Rows and sums of `entries`, which reach from `start` to `end` of a segment.

    False, with nothing done, when another drain took them first.
    """
    with transaction.atomic():
        if not _advance(segment, start, end):
            return False
        _insert_rows(entries)
        by_hour = _by_hour(entries)
        _add_sums(UsageHour, by_hour)
        _add_sums(UsageDay, _by_day(by_hour))
        _add_counts(counts_of(entries))
        _note_keys(entries)
    return True


def _advance(segment: str, start: int, end: int) -> bool:
    if start == 0:
        JournalMark.objects.get_or_create(segment=segment)
    moved = JournalMark.objects.filter(segment=segment, offset=start).update(offset=end)
    return moved == 1


def forget(rows_days: int, hours_days: int) -> int:
    """Drop rows and hourly sums older than this many days; daily sums stay. How many went."""
    now = timezone.now()
    gone, _ = UsageRow.objects.filter(at__lt=now - timedelta(days=rows_days)).delete()
    UsageHour.objects.filter(start__lt=now - timedelta(days=hours_days)).delete()
    return gone


def _remove(segment: Path, offset: int) -> None:
    """The file first: a mark without its file is forgotten at the next drain."""
    if (size := segment.stat().st_size) > offset:
        logger.warning("%s ends in half a line (%d bytes).", segment.name, size - offset)
    segment.unlink()


def _insert_rows(entries: Sequence[Entry]) -> None:
    columns = ("at", *_AS_THEY_ARE)
    marks = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {UsageRow._meta.db_table} ({', '.join(columns)}) VALUES ({marks})",
            [(_time(entry.at), *_values_of(entry)) for entry in entries],
        )


def _note_keys(entries: Iterable[Entry]) -> None:
    """When keys were used last; no more often than what is shown changes."""
    last: dict[int, float] = {}
    for entry in entries:
        if entry.key_id:
            last[entry.key_id] = max(entry.at, last.get(entry.key_id, 0.0))
    # Asked for at once: most were noted a moment ago, and each statement takes its time.
    known = ApiKey.objects.filter(pk__in=last).values_list("pk", "last_used_at")
    due = [key for key, noted in known if noted is None or _is_due(noted, last[key])]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {ApiKey._meta.db_table} SET last_used_at = %s "
            "WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)",
            # In one order everywhere, as the sums.
            [(_time(last[key]), key, _time(last[key])) for key in sorted(due)],
        )


def _is_due(noted: datetime, used: float) -> bool:
    return used - noted.timestamp() >= NOTED_EVERY


def _by_hour(entries: Iterable[Entry]) -> _Sums:
    sums: defaultdict[_Key, _Sum] = defaultdict(_Sum)
    for entry in entries:
        key = (_hour(int(entry.at) // 3600), entry.model, entry.key_id, entry.person_id)
        sums[key].add(entry)
    return {key: _sums_of(one) for key, one in sums.items()}


def _by_day(by_hour: _Sums) -> _Sums:
    """Added up from the hours' sums. Most keys have one hour only, whose values are taken so."""
    sums: dict[_Key, tuple[float, ...]] = {}
    for (hour, model, key_id, person_id), values in by_hour.items():
        key = (hour.replace(hour=0), model, key_id, person_id)
        known = sums.get(key)
        sums[key] = values if known is None else tuple(map(add, known, values))
    return sums


def _add_sums(model: type[Model], sums: _Sums) -> None:
    adapted = cache(_adapted)
    # In one order everywhere, so that two writers cannot wait for each other.
    rows = [(adapted(key[0]), *key[1:], *sums[key]) for key in sorted(sums)]
    _add(model, ("start", "model", "key_id", "person_id"), _SUMMED, rows)


def _add_counts(counts: Mapping[tuple[str, str, str], tuple[int, float]]) -> None:
    rows = [(*key, *counts[key]) for key in sorted(counts)]
    _add(UsageCount, ("model", "name", "label"), ("count", "total"), rows)


def _add(
    model: type[Model], keys: Sequence[str], added: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Add to the row with these keys, or begin it."""
    table = model._meta.db_table
    columns = (*keys, *added)
    marks = ", ".join(["%s"] * len(columns))
    more = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in added)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {more}",
            rows,
        )


@lru_cache(maxsize=8)
def _hour(number: int) -> datetime:
    """When an hour begins, by its number since 1970."""
    return datetime.fromtimestamp(number * 3600, UTC)


def _time(at: float) -> Any:
    return _adapted(datetime.fromtimestamp(at, UTC))


def _adapted(when: datetime) -> Any:
    """As the database's driver takes it; Django does the same for its own queries."""
    return connection.ops.adapt_datetimefield_value(when)
