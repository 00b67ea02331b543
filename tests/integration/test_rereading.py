"""What is asked of the database again and again is read anew once something was written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from downloads_app.models import Download
from downloads_app.news import News
from models_app import changes
from models_app.models import ModelGroup
from proxy_app.database_thread import DatabaseThread
from proxy_app.standing import Standing
from tests.server import DATABASE, new_home

pytestmark = pytest.mark.django_db(transaction=True)

TELLS = connection.vendor == "sqlite"
"""Whether the database tells that nothing was written."""


class Names:
    """Reads the names of groups, and counts how often."""

    def __init__(self) -> None:
        self.readings = 0

    def read(self) -> list[str]:
        self.readings += 1
        return sorted(ModelGroup.objects.values_list("name", flat=True))


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseThread]:
    """With a file, as the product has it; tests else share memory, which is never closed."""
    if TELLS:
        file = new_home(tmp_path / "home") / DATABASE
        monkeypatch.setitem(connections.settings["default"], "NAME", str(file))
    thread = DatabaseThread(Standing("database", ""))
    yield thread
    thread.close()


def beside(work: Callable[[], object]) -> None:
    """Do it on another connection."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    thread.join()


def test_nothing_is_read_again_while_nothing_is_written(database: DatabaseThread) -> None:
    names = Names()
    for _ in range(3):
        assert asyncio.run(database.reread(names.read)) == []
    assert names.readings == (1 if TELLS else 3)


def test_what_others_write_is_seen(database: DatabaseThread) -> None:
    names = Names()
    assert asyncio.run(database.reread(names.read)) == []
    beside(lambda: ModelGroup.objects.create(name="coding"))
    assert asyncio.run(database.reread(names.read)) == ["coding"]
    beside(lambda: ModelGroup.objects.all().delete())
    assert asyncio.run(database.reread(names.read)) == []


def test_what_it_writes_itself_is_seen(database: DatabaseThread) -> None:
    names = Names()
    assert asyncio.run(database.reread(names.read)) == []
    asyncio.run(database.run(lambda: ModelGroup.objects.create(name="own")))
    assert asyncio.run(database.reread(names.read)) == ["own"]


def test_each_question_has_its_own_answer(database: DatabaseThread) -> None:
    first, second = Names(), Names()
    beside(lambda: ModelGroup.objects.create(name="all"))
    for names in (first, second):
        assert asyncio.run(database.reread(names.read)) == ["all"]
    assert (first.readings, second.readings) == (1, 1)


def test_a_new_connection_reads_anew(database: DatabaseThread) -> None:
    names = Names()
    asyncio.run(database.reread(names.read))
    asyncio.run(database.run(lambda: connection.close()))
    beside(lambda: ModelGroup.objects.create(name="meanwhile"))
    assert asyncio.run(database.reread(names.read)) == ["meanwhile"]
    assert names.readings == 2


def test_what_changed_while_an_error_closed_the_connection_is_seen(
    database: DatabaseThread,
) -> None:
    names = Names()

    def fail() -> None:
        beside(lambda: ModelGroup.objects.create(name="meanwhile"))
        raise OperationalError("database is locked")

    asyncio.run(database.reread(names.read))
    with pytest.raises(OperationalError):
        asyncio.run(database.run(fail))
    assert asyncio.run(database.reread(names.read)) == ["meanwhile"]


def test_changed_downloads_are_told_each_time(database: DatabaseThread) -> None:
    news = News()

    def told() -> list[str]:
        found = asyncio.run(database.reread(news.changed))
        return [event["info"]["status"] for event in news.events(found, 0.0)]

    def write(status: str) -> None:
        values = {"status": status, "changed_at": timezone.now()}
        beside(lambda: Download.objects.update_or_create(key="one", defaults=values))

    assert told() == []
    write("pending")
    assert told() == ["pending"]
    assert told() == []
    write("failed")
    assert told() == ["failed"]


def test_the_version_of_the_configuration_counts_on() -> None:
    before = changes.current_version()
    ModelGroup.objects.create(name="counted")
    assert changes.current_version() > before
