from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from models_app.changes import NOT_CONFIGURATION, current_version
from models_app.models import (
    ChangeClock,
    EngineBuild,
    GgufFile,
    MachineReport,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    Revision,
    ScanRun,
    ServedModel,
    ServerSettings,
)

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], object]


def counts(act: Act) -> bool:
    before = current_version()
    act()
    after = current_version()
    assert after >= before
    return after > before


def make_file(path: str = "/models/a.gguf") -> GgufFile:
    folder, _ = ModelFolder.objects.get_or_create(path="/models")
    return GgufFile.objects.create(
        folder=folder,
        path=path,
        relative_path=path.removeprefix("/models/"),
        size=1,
        mtime_ns=1,
        last_seen_at=timezone.now(),
    )


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_every_way_to_write_a_model_counts() -> None:
    group = ModelGroup.objects.create(name="g")
    assert counts(lambda: ServedModel.objects.create(model_id="a"))
    assert counts(lambda: ServedModel.objects.bulk_create([ServedModel(model_id="b")]))
    row = ServedModel.objects.get(model_id="a")
    row.ttl = 5
    assert counts(row.save)
    assert counts(lambda: ServedModel.objects.filter(model_id="b").update(group=group))
    row.name = "A"
    assert counts(lambda: ServedModel.objects.bulk_update([row], ["name"]))
    assert counts(lambda: sql("UPDATE models_app_servedmodel SET cmd = %s", "x"))
    assert counts(group.delete), "the deletion empties a column of another table"
    assert counts(lambda: ServedModel.objects.filter(model_id="b").delete())
    assert counts(lambda: sql("DELETE FROM models_app_servedmodel"))


def test_every_configuration_table_is_watched() -> None:
    file = make_file()
    model = ServedModel.objects.create(model_id="a", file=file)
    makers: list[Act] = [
        lambda: ModelFolder.objects.create(path="/other"),
        lambda: make_file("/models/b.gguf"),
        lambda: ModelAlias.objects.create(alias="x", model=model),
        lambda: ModelGroup.objects.create(name="h"),
        lambda: ServerSettings.objects.create(pk=1),
        lambda: MachineReport.objects.create(pk=1, facts={"ram": 1}),
        lambda: EngineBuild.objects.create(path="/bin/x", size=1, mtime_ns=1),
    ]
    assert all(counts(maker) for maker in makers)
    updates: list[Act] = [
        lambda: ModelFolder.objects.filter(path="/other").update(enabled=False),
        lambda: GgufFile.objects.filter(pk=file.pk).update(state=GgufFile.State.VANISHED),
        lambda: GgufFile.objects.filter(pk=file.pk).update(facts={"kind": "chat"}),
        lambda: GgufFile.objects.filter(pk=file.pk).update(size=2),
        lambda: ModelAlias.objects.update(alias="y"),
        lambda: ModelGroup.objects.update(swap=False),
        lambda: ServerSettings.objects.update(macros={"m": "1"}),
        lambda: MachineReport.objects.update(facts={"ram": 2}),
        lambda: EngineBuild.objects.update(active=True),
    ]
    assert all(counts(update) for update in updates)
    tables = (EngineBuild, MachineReport, ServerSettings, ModelGroup, ModelAlias, ModelFolder)
    assert all(counts(table.objects.all().delete) for table in tables)


def test_what_a_scan_notes_about_its_own_work_does_not_count() -> None:
    file = make_file()
    folder = file.folder
    EngineBuild.objects.create(path="/bin/x", size=1, mtime_ns=1)
    MachineReport.objects.create(pk=1, facts={"ram": 1})
    quiet: list[Act] = [
        lambda: GgufFile.objects.update(last_seen_at=timezone.now()),
        lambda: GgufFile.objects.update(mtime_ns=2, problem="?", introduced=True),
        lambda: ModelFolder.objects.update(last_scanned_at=timezone.now(), problem="?"),
        lambda: EngineBuild.objects.get().save(),
        lambda: MachineReport.objects.get().save(),
        lambda: folder.scanrun_set.create(),
        lambda: ScanRun.objects.update(processed=3),
        lambda: Revision.objects.create(digest="x", yaml=""),
    ]
    assert not any(counts(act) for act in quiet)


def test_writing_the_same_again_does_not_count() -> None:
    file = make_file()
    model = ServedModel.objects.create(model_id="a", env=["A=1"], file=file)
    model.refresh_from_db()
    assert not counts(model.save)
    assert not counts(lambda: ServedModel.objects.update(ttl=None, env=["A=1"]))
    assert not counts(file.save)


def test_an_insert_that_updates_counts_when_it_changes_something() -> None:
    def upsert(size: int) -> None:
        row = GgufFile(
            folder=ModelFolder.objects.get(),
            path="/models/a.gguf",
            relative_path="a.gguf",
            size=size,
            mtime_ns=1,
            last_seen_at=timezone.now(),
        )
        GgufFile.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["node", "path"],
            update_fields=["size", "last_seen_at"],
        )

    make_file()
    assert counts(lambda: upsert(2))
    assert not counts(lambda: upsert(2))


def test_a_change_that_is_rolled_back_never_counted() -> None:
    def attempt() -> None:
        with transaction.atomic():
            ServedModel.objects.create(model_id="a")
            transaction.set_rollback(True)

    assert not counts(attempt)


def test_a_change_inside_a_savepoint_counts_with_its_transaction() -> None:
    def nested() -> None:
        with transaction.atomic():
            with transaction.atomic():
                ServedModel.objects.create(model_id="a")
            ServedModel.objects.create(model_id="b")

    assert counts(nested)


def test_the_clock_comes_back_when_its_row_is_gone() -> None:
    ChangeClock.objects.all().delete()
    assert current_version() == 0
    assert counts(lambda: ServedModel.objects.create(model_id="a"))


def test_row_counts_of_updates_stay_those_of_the_table() -> None:
    ServedModel.objects.bulk_create([ServedModel(model_id=str(number)) for number in range(3)])
    assert ServedModel.objects.update(ttl=1) == 3
    assert ServedModel.objects.all().delete()[0] == 3


def test_migrating_again_keeps_one_trigger_each_and_counts_once_more() -> None:
    assert counts(lambda: call_command("migrate", verbosity=0, stdout=StringIO()))
    before = current_version()
    ServedModel.objects.create(model_id="a")
    assert current_version() == before + 1


def test_triggers_are_back_after_a_migration_rebuilt_the_tables() -> None:
    newest = sorted(name for app, name in _applied() if app == "models_app")[-1]
    try:
        call_command("migrate", "models_app", "0001", verbosity=0, stdout=StringIO())
        assert counts(lambda: sql("UPDATE models_app_modelgroup SET swap = swap")) is False
        assert counts(lambda: sql(_INSERT_GROUP, "g"))
    finally:
        call_command("migrate", "models_app", newest, verbosity=0, stdout=StringIO())
    assert counts(lambda: ServedModel.objects.create(model_id="a"))


def test_migrating_back_to_nothing_and_forth_works() -> None:
    try:
        call_command("migrate", "models_app", "zero", verbosity=0, stdout=StringIO())
    finally:
        call_command("migrate", "models_app", verbosity=0, stdout=StringIO())
    assert counts(lambda: ServedModel.objects.create(model_id="a"))


def test_the_columns_left_out_are_columns() -> None:
    for name, columns in NOT_CONFIGURATION.items():
        known = {field.name for field in apps.get_model("models_app", name)._meta.concrete_fields}
        assert columns <= known


@contextmanager
def several_writers(file: Path) -> Iterator[None]:
    """Other threads inside the block work on a database that lets writers wait, as a server's.

    The one that SQLite keeps in memory for tests refuses a second writer at once, whatever its
    timeout, so there they are given a copy of it in a file.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with closing(sqlite3.connect(file)) as copy:
        connection.connection.backup(copy)
    default = connections.databases["default"]
    in_memory, default["NAME"] = default["NAME"], str(file)
    try:
        yield
    finally:
        default["NAME"] = in_memory


def test_two_writers_that_cross_do_not_lock_each_other_out(tmp_path: Path) -> None:
    first = ServedModel.objects.create(model_id="a")
    second = ServedModel.objects.create(model_id="b")
    before = current_version()
    both_wrote = threading.Barrier(2)

    def write(one: ServedModel, group: str) -> None:
        try:
            with transaction.atomic():
                ServedModel.objects.filter(pk=one.pk).update(name=group)
                if connection.vendor == "postgresql":
                    both_wrote.wait(timeout=30)
                ModelGroup.objects.create(name=group)
        finally:
            connection.close()

    def counted() -> int:
        try:
            return current_version()
        finally:
            connection.close()

    with several_writers(tmp_path / "copy.sqlite3"), ThreadPoolExecutor() as threads:
        for done in [threads.submit(write, first, "x"), threads.submit(write, second, "y")]:
            done.result(60)
        assert threads.submit(counted).result() >= before + 2


_INSERT_GROUP = (
    "INSERT INTO models_app_modelgroup (name, swap, exclusive, persistent) "
    "VALUES (%s, TRUE, TRUE, FALSE)"
)


def _applied() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return list(cursor.fetchall())
