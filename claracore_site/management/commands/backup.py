from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from claracore_site.backup import secret_part, taking
from claracore_site.backup.archive import BackupError


class Command(BaseCommand):
    help = (
        "Write everything but model files and engine builds to a file: settings, models, people, "
        "keys, usage, history. Secrets go to a second file beside it. The server may run meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="such as claracore.zip")
        parser.add_argument("--force", action="store_true", help="overwrite the file")
        parser.add_argument(
            "--no-secrets",
            action="store_true",
            help="leave out passwords, keys and tokens: people and clients then need new ones",
        )

    def handle(self, *args: Any, file: Path, force: bool, no_secrets: bool, **_: Any) -> None:
        apart = secret_part.beside(file)
        for place in (file, apart):
            if place.exists() and not force:
                raise CommandError(f"{place} exists. Choose another name, or add --force.")
        if no_secrets:
            # One of an earlier backup would not belong to this one.
            apart.unlink(missing_ok=True)
        try:
            made = taking.take(file, self.stdout.write, secrets=not no_secrets)
        except BackupError as error:
            raise CommandError(str(error)) from error
        rows = sum(table.rows for table in made.tables)
        self.stdout.write(f"{file}: {rows} rows, {file.stat().st_size} bytes. No model files.")
        if not no_secrets:
            self.stdout.write(
                f"{apart}: passwords, keys and tokens. Keep it as safe as the server itself."
            )
