"""`manage.py move_in OTHER [PATH]`: bring what another server has."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from models_app import causes, revisions
from models_app.management.acts import written_down
from models_app.management.progress_line import ProgressLine
from models_app.models import ServerSettings
from models_app.moving_in import configuration, first, lm_studio, ollama
from models_app.moving_in.report import CannotMoveIn, Report


class Command(ProgressLine):
    help = (
        "Bring models and settings of another server. Nothing of its own is changed, and what is "
        "here stays."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        others = parser.add_subparsers(dest="other", required=True, metavar="OTHER")
        own = others.add_parser("claracore", help="the first ClaraCore: the folder it ran in")
        own.add_argument("path", type=Path, metavar="FOLDER")
        swap = others.add_parser("llama-swap", help="its config.yaml")
        swap.add_argument("path", type=Path, metavar="FILE")
        for parser_of_commands in (own, swap):
            parser_of_commands.add_argument(
                "--tune",
                action="store_true",
                help="choose settings for this machine instead of the commands of llama-server",
            )
        blobs = others.add_parser("ollama", help="its folder of models")
        blobs.add_argument("path", type=Path, nargs="?", metavar="FOLDER")
        blobs.add_argument("--to", type=Path, metavar="FOLDER", help="where the links go")
        blobs.add_argument("--copy", action="store_true", help="copy what cannot be linked")
        studio = others.add_parser("lm-studio", help="its folder of models")
        studio.add_argument("path", type=Path, nargs="?", metavar="FOLDER")

    def handle(self, *args: Any, other: str, **options: Any) -> None:
        bring: dict[str, Callable[[], Report]] = {
            "claracore": lambda: first.take(
                options["path"].absolute(), self.show, tune=options["tune"]
            ),
            "llama-swap": lambda: configuration.take(
                self._text(options["path"]), self.show, tune=options["tune"]
            ),
            "ollama": lambda: ollama.take(
                self._place(options["path"], ollama.places()),
                (options["to"] or _models_folder() / "ollama").absolute(),
                self.show,
                copy=options["copy"],
            ),
            "lm-studio": lambda: lm_studio.take(
                self._place(options["path"], lm_studio.places()), self.show
            ),
        }
        try:
            told = f"manage.py move_in {other}"
            with written_down("models", told), causes.told(told, ""):
                report = bring[other]()
        except CannotMoveIn as error:
            raise CommandError(str(error)) from error
        self.show_line("")
        self._tell(report)
        revisions.keep()

    def _text(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}.") from error

    def _place(self, given: Path | None, usual: list[Path]) -> Path:
        if given is not None:
            if not given.is_dir():
                raise CommandError(f"{given} is not a folder.")
            return given.absolute()
        found = next((place for place in usual if place.is_dir()), None)
        if found is None:
            raise CommandError(
                "No folder was found at " + ", ".join(map(str, usual)) + ". Name it."
            )
        return found

    def _tell(self, report: Report) -> None:
        for line in report.done:
            self.stdout.write(line)
        for line in report.notes:
            self.stderr.write(f"not taken: {line}" if not line.endswith(".") else line)
        if not report.done:
            self.stdout.write("Nothing was brought.")


def _models_folder() -> Path:
    chosen = ServerSettings.current().download_dir
    return Path(chosen) if chosen else Path(settings.CLARACORE_HOME) / "models"
