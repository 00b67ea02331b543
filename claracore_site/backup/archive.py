"""The file of a backup: a ZIP archive of JSON lines with a manifest that vouches for them.

manifest.json        what it is, of which version, and for each table its columns, rows, SHA-256
tables/NAME.jsonl    one row a line, its values in the order of the columns
config.yaml          the configuration, for people to read
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CONFIG: Final = "config.yaml"
LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes a row may take at most; a longer line is no backup of ours."""
MOST_MANIFEST: Final = 4 * 1024 * 1024


class BackupError(Exception):
    """A backup that cannot be made or used. The text says why and what to do."""


class Table(msgspec.Struct, frozen=True):
    """One table: `name` is Django's label of its model, such as models_app.ServedModel."""

    name: str
    columns: list[str]
    rows: int
    sha256: str

    @property
    def member(self) -> str:
        """Its name within the archive."""
        return f"tables/{self.name}.jsonl"


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself. `migrations` names the last one of each app."""

    format: int
    made_at: str
    version: str
    database: str
    migrations: dict[str, str]
    tables: list[Table]


class Writer:
    """Writes a backup beside its final name, which it gets when everything is in it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._unfinished = file.with_name(f".{file.name}.unfinished")
        self._tables: list[Table] = []

    def __enter__(self) -> Self:
        try:
            handle = os.open(
                self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
            )
            self._stream = os.fdopen(handle, "wb")
        except OSError as error:
            raise BackupError(f"{self._file} cannot be written: {error.strerror}.") from error
        self._zip = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        return self

    def table(self, name: str, columns: list[str], rows: Iterable[list[Any]]) -> Table:
        """Write a table's rows. Raises BackupError for a value that no JSON holds."""
        digest, count = hashlib.sha256(), 0
        with self._zip.open(f"tables/{name}.jsonl", "w", force_zip64=True) as member:
            for row in rows:
                line = msgspec.json.encode(row) + b"\n"
                digest.update(line)
                member.write(line)
                count += 1
        self._tables.append(Table(name, columns, count, digest.hexdigest()))
        return self._tables[-1]

    def finish(
        self, *, made_at: str, version: str, database: str, migrations: dict[str, str], config: str
    ) -> Manifest:
        """Write the rest, and give the file its name."""
        manifest = Manifest(FORMAT, made_at, version, database, migrations, self._tables)
        self._zip.writestr(CONFIG, config)
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.replace(self._unfinished, self._file)
        return manifest

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._unfinished.unlink(missing_ok=True)


class Reader:
    """Reads a backup, and checks what it reads."""

    def __init__(self, file: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            with self._zip.open(MANIFEST) as member:
                text = member.read(MOST_MANIFEST + 1)
            self.manifest = msgspec.json.decode(text, type=Manifest)
        except OSError as error:
            raise BackupError(f"{file} cannot be read: {error.strerror or error}.") from error
        except (zipfile.BadZipFile, KeyError, msgspec.DecodeError, RuntimeError) as error:
            raise BackupError(
                f"{file} is no backup of ClaraCore, or it is damaged: {error}."
            ) from error
        self._file = file
        if self.manifest.format != FORMAT:
            raise BackupError(
                f"{file} is of format {self.manifest.format}; this version reads {FORMAT}. "
                "Restore it with the version that made it."
            )

    def __enter__(self) -> Self:
        return self

    def check(self) -> None:
        """Read everything once. Raises BackupError when a table is not what it was."""
        for table in self.manifest.tables:
            digest, count = hashlib.sha256(), 0
            for line in self._lines(table):
                digest.update(line)
                count += 1
            if digest.hexdigest() != table.sha256 or count != table.rows:
                raise BackupError(
                    f"{self._file} is damaged: its table {table.name} is not what was written. "
                    "Use another copy."
                )

    def rows(self, table: Table) -> Iterator[list[Any]]:
        """A table's rows, values in the order of its columns."""
        decoder = msgspec.json.Decoder(list[Any])
        for line in self._lines(table):
            row = decoder.decode(line)
            if len(row) != len(table.columns):
                raise BackupError(f"{self._file} is damaged: a row of {table.name} is too short.")
            yield row

    def _lines(self, table: Table) -> Iterator[bytes]:
        try:
            with self._zip.open(table.member) as member:
                while line := member.readline(LONGEST_LINE + 1):
                    if len(line) > LONGEST_LINE:
                        raise BackupError(f"{self._file} is damaged: a row is far too long.")
                    yield line
        except (zipfile.BadZipFile, KeyError, EOFError, OSError, RuntimeError) as error:
            raise BackupError(f"{self._file} is damaged: {error}. Use another copy.") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()
