from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from claracore_site.backup import restoring
from claracore_site.backup.archive import BackupError
from models_app import audit, folders
from models_app.management.acts import console
from proxy_app.home_lock import HomeInUse, HomeLock


class Command(BaseCommand):
    help = (
        "Bring a backup back, into SQLite or PostgreSQL, whichever this server uses. Its secrets "
        "are taken from the file beside it (FILE.secrets). The server must not run."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--replace",
            action="store_true",
            help="put it in the place of what is there, which is backed up first",
        )

    def handle(self, *args: Any, file: Path, replace: bool, **_: Any) -> None:
        try:
            with HomeLock(Path(settings.CLARACORE_HOME)):
                done = restoring.restore(file, self.stdout.write, replace=replace)
        except (BackupError, HomeInUse) as error:
            raise CommandError(str(error)) from error
        # In the database that came back: the log of the one before is in its backup.
        what = {"file": str(file), "madeAt": str(done.manifest.made_at), "rows": done.rows}
        kept = {"keptIn": str(done.before)} if done.before else {}
        audit.note("server", f"manage.py restore {file.name}", console(), before=kept, after=what)
        self.stdout.write(
            f"Restored {done.rows} rows, as of {done.manifest.made_at} "
            f"(ClaraCore {done.manifest.version}, {done.manifest.database})."
        )
        if done.before:
            self.stdout.write(f"What was there before is in {done.before}.")
        if not done.with_secrets:
            self.stdout.write(
                f"Without {file}.secrets: people need new passwords (manage.py person password), "
                "clients new keys, and the hub its token."
            )
        elif not done.keys_work:
            self.stdout.write(
                "CLARACORE_SECRET_KEY is another than the backup's: clients need new keys."
            )
        for path in done.missing_folders:
            self.stdout.write(f"The folder {path} is not on this machine. Its models wait for it.")
        if others := folders.of_other_nodes():
            self.stdout.write(others)
