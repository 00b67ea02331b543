from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app import catalog, importing
from models_app.config_yaml import ConfigError, ParsedConfig, parse, read, render
from models_app.export import write_atomically


class Command(BaseCommand):
    """Shows, exports, imports and checks the configuration as config.yaml."""

    help = "Show, export, import or check the configuration as config.yaml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="show|export|import|check")
        acts.add_parser("show", help="print the configuration as it is now")
        export = acts.add_parser("export", help="write the configuration to a file")
        export.add_argument("file", nargs="?", type=Path, default=Path("config.yaml"))
        export.add_argument("--force", action="store_true", help="overwrite the file")
        taking = acts.add_parser("import", help="take a file into the database")
        taking.add_argument("file", type=Path)
        taking.add_argument(
            "--replace", action="store_true", help="drop models and groups that it does not name"
        )
        acts.add_parser("check", help="say whether a file is valid").add_argument("file", type=Path)

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        if act == "show":
            self.stdout.write(render(catalog.build()), ending="")
        elif act == "export":
            self._export(options["file"], options["force"])
        elif act == "import":
            self._import(options["file"], options["replace"])
        else:
            self._check(options["file"])

    def _export(self, file: Path, force: bool) -> None:
        if file.exists() and not force:
            raise CommandError(f"{file} exists. Choose another name, or add --force.")
        try:
            write_atomically(file, render(catalog.build()).encode())
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror or error}") from error
        self.stdout.write(f"Written to {file}.")

    def _import(self, file: Path, replace: bool) -> None:
        parsed = self._parsed(file)
        try:
            report = importing.apply(parsed, replace=replace)
        except ConfigError as error:
            raise CommandError(f"{file}: {error}. Nothing was changed.") from error
        self._list("created", report.created)
        self._list("changed", report.changed)
        self._list("removed", report.removed)
        self._list("groups changed", report.groups)
        self._list("settings changed", report.settings)
        self.stdout.write(f"unchanged: {len(report.unchanged)} models")

    def _check(self, file: Path) -> None:
        document = self._parsed(file).document
        self.stdout.write(
            f"{file} is valid: {len(document.models)} models, {len(document.groups)} groups, "
            f"{len(document.macros)} macros."
        )

    def _parsed(self, file: Path) -> ParsedConfig:
        try:
            parsed = parse(read(file))
        except ConfigError as error:
            raise CommandError(f"{file}: {error}") from error
        for warning in parsed.warnings:
            self.stderr.write(f"{file}: {warning}")
        return parsed

    def _list(self, what: str, names: tuple[str, ...]) -> None:
        if names:
            self.stdout.write(f"{what}: {', '.join(names)}")
