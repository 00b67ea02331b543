"""Migrations that a server of the version before may work beside, on PostgreSQL.

While the next version migrates, the worker of the version before still writes, and so do other
nodes that share the database. What each rule is for stands in `docs/operations.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

OURS: Final = ("downloads_app", "models_app", "proxy_app")
LARGE: Final = ("usagerow",)
"""Tables with a row for each request."""

BEFORE_THE_RULES: Final = {"downloads_app": 2, "models_app": 19, "proxy_app": 2}
"""The last migration of each app that nobody may work beside."""

EXCUSED: Final = {
    ("models_app", "0022_nodes", "RemoveConstraint"): "another one takes its place",
    ("models_app", "0022_nodes", "AlterField"): "older scans fail, as the docs say",
}


def dangers(operations: Sequence[Operation]) -> Iterator[tuple[str, str]]:
    """Kinds of operations that the version before does not survive, with what to do instead."""
    made = {op.name_lower for op in operations if isinstance(op, migrations.CreateModel)}
    for op in operations:
        kind = type(op).__name__
        model = getattr(op, "model_name_lower", getattr(op, "name_lower", ""))
        if model in made:
            continue
        if remedy := _remedy(op, model):
            yield kind, remedy


def _remedy(op: Operation, model: str) -> str:
    if isinstance(op, migrations.AddField):
        field: Any = op.field
        fills = field.null or field.many_to_many or field.db_default is not models.NOT_PROVIDED
        return "" if fills else "the version before inserts without it: give it a db_default"
    if isinstance(op, migrations.AlterField):
        return "the version before uses it as it was: add another column, drop this one later"
    if isinstance(op, migrations.RemoveField | migrations.DeleteModel):
        return "the version before reads it: take it out of the code now, drop it a release later"
    if isinstance(op, migrations.RenameField | migrations.RenameModel):
        return "the version before knows the old name: keep it, with db_column or db_table"
    if isinstance(op, migrations.RemoveConstraint):
        return "the version before may rely on it (ON CONFLICT): drop it a release later"
    if isinstance(op, migrations.AddIndex | migrations.AddConstraint) and model in LARGE:
        return "no row could be written meanwhile: on PostgreSQL build it with CONCURRENTLY"
    if isinstance(op, migrations.RunSQL):
        return "nobody can see what it locks: say why it is safe in EXCUSED"
    return ""


def test_each_migration_leaves_the_version_before_at_work() -> None:
    found = []
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in OURS and int(name[:4]) > BEFORE_THE_RULES[app]:
            for kind, remedy in dangers(migration.operations):
                if (app, name, kind) not in EXCUSED:
                    found.append(f"{app} {name}, {kind}: {remedy}")
    assert not found, "\n".join(found)


def test_nothing_is_excused_that_is_not_there() -> None:
    known = MigrationLoader(None).disk_migrations
    for app, name, kind in EXCUSED:
        assert kind in {kind for kind, _ in dangers(known[app, name].operations)}


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("servedmodel", "x", models.CharField(default="")),
        migrations.AlterField("servedmodel", "x", models.TextField()),
        migrations.RemoveField("servedmodel", "x"),
        migrations.DeleteModel("ServedModel"),
        migrations.RenameField("servedmodel", "x", "y"),
        migrations.RenameModel("ServedModel", "Model"),
        migrations.RemoveConstraint("servedmodel", "x"),
        migrations.AddIndex("usagerow", models.Index(fields=["at"], name="x")),
        migrations.RunSQL("SELECT 1"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_it_tells_what_the_version_before_does_not_survive(operation: Operation) -> None:
    assert [kind for kind, _ in dangers([operation])] == [type(operation).__name__]


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddField("servedmodel", "x", models.CharField(default="", db_default=""))],
        [migrations.AddField("servedmodel", "x", models.IntegerField(null=True))],
        [migrations.AddIndex("servedmodel", models.Index(fields=["name"], name="x"))],
        [
            migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
            migrations.AddField("new", "x", models.CharField(default="")),
        ],
    ],
)
def test_it_lets_pass_what_it_does_not_even_notice(operations: list[Operation]) -> None:
    assert not list(dangers(operations))
