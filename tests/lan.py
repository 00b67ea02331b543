"""Where tests run on PostgreSQL and Redis: a database and a broker of its own for every home.

    python -m tests.lan pytest|tests.beside [options of pytest]

starts both, checks and migrates, and runs the tests that touch a database, the broker or events.
Without them, everything here does nothing, and homes keep what they need in files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from tests.services import NAME, postgresql, redis_server

DATABASE_URL: Final = "CLARACORE_DATABASE_URL"
REDIS_URL: Final = "CLARACORE_REDIS_URL"
FIRST_OF_HOMES: Final = 64
"""Redis' database with the list of homes is 0; those below this one are the test processes' own."""

_HOMES: Final = "homes"
_NEXT: Final = "next home"


def is_on() -> bool:
    """Whether these tests run on PostgreSQL and Redis."""
    return DATABASE_URL in os.environ


def of_home(home: Path, *, with_tables: bool = False) -> dict[str, str]:
    """The variables that name the services of a home; none where it keeps files.

    A home's database is made when it is first asked for: empty, or `with_tables`.
    """
    if not is_on():
        return {}
    number = _number(home, with_tables)
    database = urlsplit(os.environ[DATABASE_URL])
    broker = urlsplit(os.environ[REDIS_URL])
    return {
        DATABASE_URL: database._replace(path=f"/home_{number}").geturl(),
        REDIS_URL: broker._replace(path=f"/{number}").geturl(),
    }


def worker_redis_url(url: str) -> str:
    """The Redis of this test process, apart from those beside it."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 1
    assert number < FIRST_OF_HOMES
    return urlsplit(url)._replace(path=f"/{number}").geturl()


def _number(home: Path, with_tables: bool) -> int:
    registry = urlsplit(os.environ[REDIS_URL])._replace(path="/0").geturl()
    with redis.Redis.from_url(registry) as homes:
        known: Any = homes.hget(_HOMES, str(home))
        if known is not None:
            return int(known)
        number = FIRST_OF_HOMES + int(str(homes.incr(_NEXT)))
        _create_database(f"home_{number}", NAME if with_tables else "template1")
        homes.hset(_HOMES, str(home), number)
        return number


def _create_database(name: str, template: str) -> None:
    server = urlsplit(os.environ[DATABASE_URL])._replace(path="/postgres").geturl()
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(command.format(sql.Identifier(name), sql.Identifier(template)))


def count_changes_at_once() -> None:
    """In this transaction, each change counts when it is made, as it does on SQLite.

    Otherwise whatever a test changes within its own transaction, which is taken back at the end,
    would not count at all. That a transaction counts once, when it ends, is what the tests that
    commit show (`tests/integration/test_changes.py`).
    """
    from django.db import connection

    from models_app import changes

    once = "WHERE clock.xmin <> pg_current_xact_id()::xid"
    assert once in changes._POSTGRESQL_FUNCTION
    tables = [f"models_app_{name.lower()}" for name in changes.NOT_CONFIGURATION]
    triggers = [name for table in tables for name in changes._trigger_names(table)]
    with connection.cursor() as cursor:
        cursor.execute(changes._POSTGRESQL_FUNCTION.replace(once, ""))
        cursor.execute(f"SET CONSTRAINTS {', '.join(triggers)} IMMEDIATE")


# ---- Running the tests on them --------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run the module that runs the tests; its exit code."""
    with postgresql() as database, redis_server() as broker:
        with database.connect() as connection:
            connection.execute(f"CREATE DATABASE {NAME}".encode())
        environment = {**os.environ, DATABASE_URL: database.url, REDIS_URL: broker.url}
        for command in (["check"], ["migrate", "-v0"], ["makemigrations", "--check", "--dry-run"]):
            _run(["manage.py", *command], environment, check=True)
        module, *options = arguments
        return _run(["-m", module, "--touching-services", *options], environment)


def _run(words: Sequence[str], environment: Mapping[str, str], check: bool = False) -> int:
    return subprocess.run([sys.executable, *words], env=environment, check=check).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
