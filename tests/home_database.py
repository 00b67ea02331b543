"""Asks the database of a home, whichever it is, past Django."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests import lan
from tests.server import DATABASE


def rows(home: Path, query: str) -> list[dict[str, Any]]:
    """What a query without parameters finds."""
    with closing(_connect(home)) as connection:
        cursor = connection.cursor()
        cursor.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _connect(home: Path) -> Any:
    if lan.is_on():
        return psycopg.connect(lan.of_home(home)[lan.DATABASE_URL])
    return sqlite3.connect(home / DATABASE)
