"""`manage.py scan [FOLDER ...]`: a scan in the foreground, the same one the workers do."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from models_app import folders, scan_runs
from models_app.management.acts import written_down
from models_app.management.progress_line import ProgressLine
from models_app.models import ModelFolder, ScanRun


class Command(ProgressLine):
    help = (
        "Look for GGUF files in the tracked folders, or in the FOLDERs given, and bring the list "
        "of models up to date. A FOLDER that is not tracked yet is tracked from now on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folders", nargs="*", metavar="FOLDER")

    def handle(self, *args: Any, **options: Any) -> None:
        with written_down("scan", " ".join(("manage.py scan", *options["folders"]))):
            done = self._scan(options["folders"])
        self.show_line("")
        self._tell(done)

    def _scan(self, paths: list[str]) -> ScanRun:
        wanted = [self._tracked(path) for path in paths]
        if not wanted and not ModelFolder.objects.filter(enabled=True).exists():
            raise CommandError("No folder is tracked. Name one: manage.py scan /path/to/models")
        run = scan_runs.create(wanted)
        done = scan_runs.perform(run.pk, listener=self.show)
        if done is None or done.status != ScanRun.Status.COMPLETED:
            raise CommandError("The scan was taken over by a worker; the admin shows how it ends.")
        return done

    def _tracked(self, path: str) -> ModelFolder:
        # Paths on a command line are relative to where the person stands.
        path = os.path.abspath(os.path.expanduser(path))
        try:
            return folders.tracked_as(path) or folders.add(path)
        except folders.AlreadyCovered as error:
            self.stderr.write(f"{error} That one is scanned.")
            return error.covering
        except folders.FolderError as error:
            raise CommandError(str(error)) from error

    def _tell(self, run: ScanRun) -> None:
        for folder in run.summary:
            if folder["status"] == "error":
                self.stderr.write(self.style.ERROR(folder["error"]))
                continue
            self.stdout.write(f"{folder['folder']}: {_counts(folder)}")
        if any(folder["status"] == "error" for folder in run.summary):
            raise CommandError("Not every folder could be read.")


def _counts(folder: dict[str, Any]) -> str:
    """Such as "3 models in 5 files, 2 read, 1 unreadable"."""
    parts = [f"{folder['models']} models in {folder['files']} files"]
    for name in ("read", "vanished", "unreadable", "incomplete", "problems"):
        if folder[name]:
            parts.append(f"{folder[name]} {name}")
    return ", ".join(parts)
