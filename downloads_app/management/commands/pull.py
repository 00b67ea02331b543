"""`manage.py pull REPO[:QUANT]`: fetch a model of the hub in the foreground, as the workers do."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from downloads_app import info, orders, queue, work
from downloads_app.models import Download
from downloads_app.sources.picking import NothingFits, order_for
from downloads_app.trouble import Trouble
from models_app.leases import this_worker
from models_app.models import ServedModel

Status = Download.Status
BAR = 30


class Command(BaseCommand):
    help = (
        "Fetch a model from Hugging Face and serve it. Without a quantization the one that most "
        "people want is taken. Called again after an interruption it goes on where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", metavar="REPO[:QUANT]", help="such as owner/name:Q4_K_M")
        parser.add_argument("--id", default="", help="The model answers to this id as well.")
        parser.add_argument("--to", default="", metavar="FOLDER", help="The folder it goes to.")
        parser.add_argument(
            "--no-projector", action="store_true", help="Leave out what lets it see or hear."
        )
        parser.add_argument(
            "--reuse",
            action="store_true",
            help="Take the same file from elsewhere on this machine.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        repository, _, quantization = options["model"].partition(":")
        try:
            wanted = order_for(repository, quantization, projector=not options["no_projector"])
            download = orders.place(
                wanted.order(
                    repository,
                    model_id=options["id"] or repository,
                    folder=options["to"],
                    reuse=options["reuse"],
                ),
                hand_over=False,
            )
        except (NothingFits, orders.BadOrder) as error:
            raise CommandError(str(error)) from error
        except Trouble as trouble:
            raise CommandError(trouble.message) from trouble
        names = ", ".join(file.name for file in download.files.all())
        self.stdout.write(f"{names} to {download.folder}")
        self._perform(download)
        self._tell(download)

    def _perform(self, download: Download) -> None:
        claimed = queue.claim(download.pk, this_worker())
        if claimed is None:
            raise CommandError(
                "A worker fetches it already; GET /api/models/downloads shows how far."
            )
        try:
            work.perform(claimed, self._show)
        except KeyboardInterrupt:
            raise CommandError("Stopped. Call it again to go on.") from None
        finally:
            self._show_line("")
        download.refresh_from_db()

    def _show(self, download: Download) -> None:
        percent = info.progress(download)
        filled = "#" * int(BAR * max(0.0, percent) / 100)
        share = f"{percent:5.1f} %" if percent >= 0 else f"{download.done_bytes / 1e6:,.0f} MB"
        left = info.of_reply(download)["eta"]
        rate = info.rate_in_words(download.speed)
        self._show_line(f"[{filled:<{BAR}}] {share}  {rate}  {left}  {download.phase}")

    def _show_line(self, text: str) -> None:
        """Write over the last line of a terminal; nothing elsewhere."""
        if self.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stdout.write(f"\r{text[:width].ljust(width)}\r", ending="")
            self.stdout.flush()

    def _tell(self, download: Download) -> None:
        if download.status != Status.COMPLETED:
            raise CommandError(download.error or f"The download is {download.status}.")
        if download.note:
            self.stderr.write(download.note)
        paths = [f"{download.folder}/{file.name}" for file in download.files.all()]
        for model in ServedModel.objects.filter(file__path__in=paths):
            ids = [model.model_id, *model.aliases.values_list("alias", flat=True)]
            self.stdout.write(f"Served as {' or '.join(ids)}.")
