from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from models_app import api_keys
from models_app.models import ApiKey
from proxy_app import drain, usage
from proxy_app.journal import Journal, read_from, segments
from proxy_app.models import JournalMark, UsageCount, UsageDay, UsageHour, UsageRow
from tests.unit.test_records import line

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def test_lines_become_rows(tmp_path: Path) -> None:
    Journal(tmp_path).append([line(number=1), line(number=2, figures="")])
    assert usage.drain(tmp_path) == 2
    row = UsageRow.objects.get(tokens_in=4)
    assert row.at == datetime.fromtimestamp(1_700_000_000.25, UTC)
    assert (row.model, row.tokens_out, row.streamed, row.total_ms) == ("fox-q8", 10, True, 3000)
    assert UsageRow.objects.get(tokens_in=None).tokens_per_second is None


def test_no_line_comes_twice(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.append([line()])
    assert (usage.drain(tmp_path), usage.drain(tmp_path)) == (1, 0)
    writer.append([line()])
    assert usage.drain(tmp_path) == 1
    assert UsageRow.objects.count() == 2


def test_of_two_drains_one_takes_a_line(tmp_path: Path) -> None:
    Journal(tmp_path).append([line()])
    [segment] = segments(tmp_path)
    end = segment.stat().st_size
    assert usage.take_over([], segment.name, 0, end)
    assert not usage.take_over([], segment.name, 0, end)


def test_a_segment_goes_when_it_is_done_and_another_follows(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.append([line()])
    usage.drain(tmp_path)
    assert len(segments(tmp_path)) == 1  # It may still grow.
    Journal(tmp_path).append([line()])
    usage.drain(tmp_path)
    assert len(segments(tmp_path)) == 1
    assert UsageRow.objects.count() == 2
    usage.drain(tmp_path)
    assert JournalMark.objects.count() == 1


def test_nothing_is_lost_when_the_database_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(tmp_path).append([line()])

    def fail(*_: object) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_add_sums", fail)
        with pytest.raises(OSError, match="away"):
            usage.drain(tmp_path)
    assert UsageRow.objects.count() == 0
    assert usage.drain(tmp_path) == 1


def test_a_drain_may_stop_after_a_bunch_and_go_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Journal(tmp_path)
    writer.append([line() for _ in range(50)])
    length = len(next(tmp_path.glob("*.jsonl")).read_bytes().splitlines()[0]) + 1
    monkeypatch.setattr(usage, "read_from", partial(read_from, most=10 * length))
    assert usage.drain(tmp_path, most=15) == 20
    assert UsageRow.objects.count() == 20
    assert usage.drain(tmp_path) == 30


def test_hours_and_days_are_summed_as_rows_come(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.append([line(at=NOON), line(at=NOON + 60, status=502, figures="")])
    usage.drain(tmp_path)
    writer.append([line(at=NOON + 3600), line(at=NOON, model="other"), line(at=NOON, key_id=5)])
    usage.drain(tmp_path)
    hours = UsageHour.objects.filter(model="fox-q8", key_id=0).order_by("start")
    assert [(hour.start.hour, hour.requests, hour.errors) for hour in hours] == [
        (12, 2, 1),
        (13, 1, 0),
    ]
    day = UsageDay.objects.get(model="fox-q8", key_id=0)
    assert (day.requests, day.tokens_in, day.tokens_out, day.gpu_seconds) == (3, 8, 20, 15.0)
    assert UsageDay.objects.count() == 3


def test_what_a_client_stopped_is_no_error(tmp_path: Path) -> None:
    Journal(tmp_path).append([line(at=NOON, status=499), line(at=NOON, status=502), line(at=NOON)])
    usage.drain(tmp_path)
    for table in (UsageHour, UsageDay):
        [row] = table.objects.all()
        assert (row.requests, row.errors, row.stopped) == (3, 1, 1)


def test_it_is_noted_when_a_key_was_used_last(tmp_path: Path) -> None:
    one, other = (api_keys.create(name)[0] for name in ("one", "other"))
    writer = Journal(tmp_path)

    def noted_after(*uses: tuple[ApiKey, float]) -> list[float | None]:
        writer.append([line(at=NOON + seconds, key_id=key.pk) for key, seconds in uses])
        usage.drain(tmp_path)
        times = ApiKey.objects.order_by("pk").values_list("last_used_at", flat=True)
        return [None if time is None else time.timestamp() - NOON for time in times]

    assert noted_after((one, 0), (one, 9), (other, 5)) == [9, 5]
    assert noted_after((one, 30), (other, 2)) == [9, 5]  # It is shown to the minute.
    assert noted_after((one, 70)) == [70, 5]


def test_old_rows_go_and_daily_sums_stay(tmp_path: Path) -> None:
    now = timezone.now()
    ages = [timedelta(days=1), timedelta(days=40), timedelta(days=400)]
    Journal(tmp_path).append([line(at=(now - age).timestamp()) for age in ages])
    usage.drain(tmp_path)
    assert usage.forget(rows_days=30, hours_days=365) == 2
    assert (UsageRow.objects.count(), UsageHour.objects.count()) == (1, 2)
    assert UsageDay.objects.count() == 3


def test_counts_grow_with_each_bunch(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    for _ in range(2):
        writer.append([line(), line(status=500)])
        usage.drain(tmp_path)
    assert UsageCount.objects.get(name="status", label="200").count == 2
    request = UsageCount.objects.get(name="request", label="5")
    assert (request.count, request.total) == (4, 12.0)


def test_pages_of_requests_neither_skip_nor_repeat_what_came_in_one_moment(
    admin_client: Client, tmp_path: Path, settings: Settings
) -> None:
    """Nor what came while somebody turned the pages."""
    settings.CLARACORE_HOME = tmp_path
    journal = Journal(drain.folder())
    journal.append([line(number=number, at=NOON) for number in range(5)])
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = admin_client.get(f"/api/requests?limit=2&cursor={cursor}").json()
        seen += [request["id"] for request in page["requests"]]
        cursor = page["next"]
        journal.append([line(number=len(seen) + 10, at=NOON + len(seen))])
    rows = UsageRow.objects.filter(at=datetime.fromtimestamp(NOON, UTC))
    assert seen == sorted(rows.values_list("pk", flat=True), reverse=True)
    assert len(seen) == 5


def test_failed_requests_are_listed_without_what_clients_stopped(
    admin_client: Client, tmp_path: Path
) -> None:
    Journal(tmp_path).append([line(at=NOON, status=499), line(at=NOON, status=502), line(at=NOON)])
    usage.drain(tmp_path)
    listed = admin_client.get("/api/requests?status=failed").json()["requests"]
    assert [one["status"] for one in listed] == [502]
