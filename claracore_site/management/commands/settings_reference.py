from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from claracore_site.settings_reference import page


class Command(BaseCommand):
    help = "Write docs/settings.md from the code, or check that it is up to date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="fail when it is not")

    def handle(self, *args: Any, check: bool, **_: Any) -> None:
        file = settings.BASE_DIR / "docs" / "settings.md"
        if not check:
            file.write_text(page())
            self.stdout.write(f"Written: {file}")
        elif not file.exists() or file.read_text() != page():
            raise CommandError(f"{file} is out of date: call manage.py settings_reference.")
