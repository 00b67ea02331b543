"""A line on the terminal that says how far a scan is."""

from __future__ import annotations

import shutil

from django.core.management.base import BaseCommand

from models_app.scan import Progress


class ProgressLine(BaseCommand):
    """A command that scans in the foreground."""

    def show(self, progress: Progress) -> None:
        """Say how far it is, in place of what was said before."""
        counted = f" {progress.processed} of {progress.total}" if progress.total else ""
        self.show_line(f"{progress.step}{counted}  {progress.current}")

    def show_line(self, text: str) -> None:
        """Write over the last line of a terminal; nothing elsewhere."""
        if self.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stdout.write(f"\r{text[:width].ljust(width)}\r", ending="")
            self.stdout.flush()
