"""Which changes of builds are told, and when."""

from __future__ import annotations

import pytest

from downloads_app.engines.news import News, all_builds
from models_app.models import EngineInstall

pytestmark = pytest.mark.django_db

Status = EngineInstall.Status


@pytest.fixture
def row() -> EngineInstall:
    return EngineInstall.objects.create(version="b9000", backend="cpu", status=Status.READY)


def told(news: News, now: float) -> list[tuple[str, str, float | None]]:
    events = [event["info"] for event in news.events(all_builds(), now)]
    return [(one["state"], one.get("phase", ""), one.get("progress")) for one in events]


def write(row: EngineInstall, **values: object) -> None:
    EngineInstall.objects.filter(pk=row.pk).update(**values)


def test_what_is_there_already_is_no_news(row: EngineInstall) -> None:
    news = News()
    assert told(news, 0.0) == []
    assert told(news, 9.0) == []


def test_phases_are_told_at_once_and_bytes_once_a_second() -> None:
    news = News()
    assert told(news, 0.0) == []
    row = EngineInstall.objects.create(version="b9001")
    assert told(news, 0.1) == [("queued", "", -1.0)]
    write(row, status=Status.RUNNING, phase="fetching", total_bytes=200)
    assert told(news, 0.2) == [("running", "fetching", 0.0)]
    write(row, done_bytes=50)
    assert told(news, 0.3) == []
    write(row, done_bytes=100)
    assert told(news, 1.3) == [("running", "fetching", 50.0)]
    write(row, phase="unpacking")
    assert told(news, 1.4) == [("running", "unpacking", 50.0)]
    write(row, status=Status.FAILED, phase="", reason="why")
    assert told(news, 1.5) == [("failed", "", 50.0)]


def test_being_used_and_being_removed_are_told(row: EngineInstall) -> None:
    news = News()
    told(news, 0.0)
    write(row, active=True)
    assert told(news, 0.1) == [("ready", "", -1.0)]
    row.delete()
    assert told(news, 0.2) == [("removed", "", None)]
    assert told(news, 0.3) == []
