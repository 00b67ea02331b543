"""Which changes of downloads are told, and when."""

from __future__ import annotations

import pytest

from downloads_app.models import Download, DownloadFile
from downloads_app.news import News

pytestmark = pytest.mark.django_db

Status = Download.Status


@pytest.fixture
def row() -> Download:
    download = Download.objects.create(folder="/models", total_bytes=1000)
    DownloadFile.objects.create(download=download, url="https://huggingface.co/x", name="x.gguf")
    return download


def told(news: News, now: float) -> list[tuple[str, int]]:
    events = news.events(news.changed(), now)
    return [(event["info"]["status"], event["info"]["downloadedBytes"]) for event in events]


def test_progress_is_told_once_a_second_and_a_change_of_state_at_once(row: Download) -> None:
    news = News()

    def write(**values: object) -> None:
        Download.objects.filter(pk=row.pk).update(**values)

    assert told(news, 0.0) == [("pending", 0)]
    assert told(news, 0.1) == []
    write(status=Status.DOWNLOADING, phase="fetching")
    assert told(news, 0.2) == [("downloading", 0)]
    write(done_bytes=100)
    assert told(news, 0.4) == []
    write(done_bytes=200)
    assert told(news, 1.3) == [("downloading", 200)]
    write(done_bytes=300)
    assert told(news, 1.5) == []
    write(status=Status.PAUSED, phase="")
    assert told(news, 1.6) == [("paused", 300)]
    assert told(news, 9.0) == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "completed", "paused"])
def test_every_ending_is_told(row: Download, status: str) -> None:
    news = News()
    told(news, 0.0)
    Download.objects.filter(pk=row.pk).update(status=status, error="why")
    assert [event for event, _ in told(news, 0.01)] == [status]


def test_what_lies_long_back_is_not_told_again(row: Download) -> None:
    Download.objects.filter(pk=row.pk).update(changed_at="2020-01-01T00:00:00Z")
    assert told(News(), 0.0) == []
