from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from models_app import catalog, causes, hand_edits, importing, revisions
from models_app.config_yaml import ConfigError, ParsedConfig, parse, read, render
from models_app.export import write_atomically
from models_app.management.acts import written_down
from models_app.models import Revision

SHOWN = 20


class Command(BaseCommand):
    """Shows, exports, imports and checks the configuration, and goes back in its history."""

    help = "The configuration as config.yaml, and its history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        show = acts.add_parser("show", help="print the configuration, or a revision's difference")
        show.add_argument("revision", nargs="?", type=int, help="number of a revision")
        show.add_argument("--text", action="store_true", help="the revision's whole config.yaml")
        export = acts.add_parser("export", help="write the configuration to a file")
        export.add_argument("file", nargs="?", type=Path, default=Path("config.yaml"))
        export.add_argument("--force", action="store_true", help="overwrite the file")
        taking = acts.add_parser("import", help="take a file into the database")
        taking.add_argument("file", type=Path)
        taking.add_argument(
            "--replace", action="store_true", help="drop models and groups that it does not name"
        )
        taking.add_argument("--dry-run", action="store_true", help="only say what would change")
        acts.add_parser("check", help="say whether a file is valid").add_argument("file", type=Path)
        history = acts.add_parser("history", help="list the newest revisions")
        history.add_argument("--all", action="store_true", help="list all of them")
        for name, told in (
            ("rollback", "make the configuration what it was at a revision"),
            ("apply", "take in an edit by hand that waits"),
            ("dismiss", "let an edit by hand that waits go"),
        ):
            acts.add_parser(name, help=told).add_argument("revision", type=int)

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        if act == "show":
            self._show(options["revision"], options["text"])
        elif act == "export":
            self._export(options["file"], options["force"])
        elif act == "import":
            self._import(options["file"], options["replace"], options["dry_run"])
        elif act == "check":
            self._check(options["file"])
        elif act == "history":
            self._history(options["all"])
        else:
            self._act(act, _revision(options["revision"]))

    # ---- The configuration ---------------------------------------------------------------------

    def _export(self, file: Path, force: bool) -> None:
        if file.exists() and not force:
            raise CommandError(f"{file} exists. Choose another name, or add --force.")
        try:
            write_atomically(file, render(catalog.build()).encode())
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror or error}") from error
        self.stdout.write(f"Written to {file}.")

    def _import(self, file: Path, replace: bool, only_look: bool) -> None:
        parsed = self._parsed(file)
        try:
            if only_look:
                found = importing.preview(read(file), replace=replace)
                self.stdout.write("\n".join([*found.summary, "", found.difference]).strip())
                return
            told = f"manage.py config import {file.name}"
            with written_down("models", told), causes.told(told, _author()):
                report = importing.apply(parsed, replace=replace)
        except ConfigError as error:
            raise CommandError(f"{file}: {error}. Nothing was changed.") from error
        self._list("created", report.created)
        self._list("changed", report.changed)
        self._list("removed", report.removed)
        self._list("groups changed", report.groups)
        self._list("settings changed", report.settings)
        self.stdout.write(f"unchanged: {len(report.unchanged)} models")
        revisions.keep()

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

    # ---- Its history ---------------------------------------------------------------------------

    def _show(self, number: int | None, whole: bool) -> None:
        if number is None:
            self.stdout.write(render(catalog.build()), ending="")
            return
        revision = _revision(number)
        if whole:
            self.stdout.write(revision.yaml, ending="")
            return
        found = revisions.difference(revision)
        self.stdout.write(_line(revision))
        self.stdout.write("".join(f"  {line}\n" for line in found.summary), ending="")
        for text in (found.yaml, found.choices):
            if text:
                self.stdout.write(f"\n{text}")

    def _history(self, everything: bool) -> None:
        rows = Revision.objects.defer("yaml", "choices")
        for revision in rows if everything else rows[:SHOWN]:
            self.stdout.write(_line(revision))
            self.stdout.write("".join(f"  {line}\n" for line in revision.summary), ending="")
        for problem in hand_edits.problems():
            self.stderr.write(problem)

    def _act(self, act: str, revision: Revision) -> None:
        try:
            with written_down("models", f"manage.py config {act}: {revision}"):
                self._decide(act, revision)
        except (revisions.CannotGoBack, hand_edits.NotWaiting, ConfigError) as error:
            raise CommandError(str(error)) from error

    def _decide(self, act: str, revision: Revision) -> None:
        if act == "rollback":
            self._rollback(revision)
        elif act == "apply":
            self.stdout.write(str(hand_edits.apply(revision, _author())))
            revisions.keep()
        else:
            hand_edits.dismiss(revision)
            self.stdout.write(f"{revision} is dismissed; it stays in the list.")

    def _rollback(self, revision: Revision) -> None:
        done = revisions.rollback(revision, _author())
        for warning in done.warnings:
            self.stderr.write(warning)
        if done.revision is None:
            self.stdout.write(f"The configuration is that of {revision} already.")
            return
        self.stdout.write(f"Back to {revision}, as {done.revision}:")
        self.stdout.write("".join(f"  {line}\n" for line in done.summary), ending="")


def _revision(number: int) -> Revision:
    revision = Revision.objects.filter(pk=number).first()
    if revision is None:
        raise CommandError(f"There is no revision {number}. `config history` lists them.")
    return revision


def _line(revision: Revision) -> str:
    """For example: 12  2026-01-31 12:00:03  change  scan 4, by ann."""
    when = timezone.localtime(revision.created_at).strftime("%Y-%m-%d %H:%M:%S")
    parts = [str(revision.pk), when, revision.get_kind_display()]
    why = ", by ".join(text for text in (revision.cause, revision.author) if text)
    return "  ".join([*parts, why] if why else parts)


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
