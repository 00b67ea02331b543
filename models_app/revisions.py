"""Revisions of the configuration: kept with each change, shown with what changed, gone back to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Sum

from models_app import catalog, causes, changes, differences, importing, secrecy, snapshot
from models_app.config_yaml import ConfigError, ParsedConfig, dump, parse, render
from models_app.config_yaml.render import HEADER, tree_of
from models_app.document import ConfigDocument
from models_app.models import Revision, ServerSettings

MEGABYTE: Final = 1000**2
SEARCHED: Final = 200
"""Among so many revisions the changes of one model are looked for."""

Kind = Revision.Kind
Commands = Mapping[str, str]

_newest_commands: tuple[str, Commands] = ("", {})
"""What was written last: reading the text of thousands of models again takes seconds."""


class CannotGoBack(ValueError):
    """Why a revision cannot be gone back to, in a sentence."""


@dataclass(frozen=True, slots=True)
class RevisionDifference:
    """What a revision changed: in words, and as the lines of config.yaml and of the choices."""

    summary: tuple[str, ...]
    yaml: str
    choices: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What going back did: the new revision (None when nothing changed), and what was lost."""

    revision: Revision | None
    summary: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def note(document: ConfigDocument, version: int, text: str = "") -> Revision | None:
    """Keep a revision when the configuration differs from the newest one; None when it does not.

    `version` is what `changes.current_version` said before the document was built; `text` is the
    document's, if it is at hand. Any process may call it.
    """
    text = text or render(document)
    found: dict[str, str] = {}
    choices = secrecy.masked(snapshot.take(), found)
    with transaction.atomic():
        causes.lock_clock()
        before = newest()
        digest = digest_of(text.encode())
        if before and before.digest == digest and before.choices == choices:
            _catch_up(before, version)
            return None
        plain = tree_of(document)
        tree = secrecy.masked(plain, found)
        yaml = text if tree == plain else HEADER + "\n" + dump(tree)
        commands = {name: model["cmd"] for name, model in tree["models"].items()}
        cause, author = causes.take_words(before.version if before else 0, version)
        revision = Revision.objects.create(
            version=version,
            cause=cause,
            author=author,
            summary=_summary(before, yaml, choices, commands),
            digest=digest,
            yaml=yaml,
            choices=choices,
            size=len(yaml) + len(json.dumps(choices)),
        )
        secrecy.keep(found)
    _remember_commands(yaml, commands)
    prune()
    return revision


def keep() -> Revision | None:
    """Build the configuration and keep a revision of it when it changed."""
    version = changes.current_version()
    return note(catalog.build(), version)


def newest() -> Revision | None:
    """The state that was kept last; None before the first."""
    return Revision.objects.filter(kind=Kind.CHANGE).first()


def touching(model: str, most: int) -> list[tuple[Revision, list[str]]]:
    """The newest changes that name a model, each with the words that do; of the newest SEARCHED."""
    named = re.compile(rf"(?<![\w.-]){re.escape(model)}(?![\w-]|\.\w)")
    found = []
    for revision in Revision.objects.filter(kind=Kind.CHANGE).defer("yaml", "choices")[:SEARCHED]:
        lines = [line for line in map(str, revision.summary) if named.search(line)]
        if lines:
            found.append((revision, lines))
        if len(found) == most:
            break
    return found


def previous(revision: Revision) -> Revision | None:
    """The state that a revision changed; None for the first, or when it is gone."""
    if revision.kind != Kind.CHANGE:
        return revision.base
    return Revision.objects.filter(kind=Kind.CHANGE, pk__lt=revision.pk).first()


def difference(revision: Revision, before: Revision | None = None) -> RevisionDifference:
    """What a revision changed, or how it differs from another one."""
    old = before or previous(revision)
    old_yaml = old.yaml if old else ""
    old_choices = old.choices if old else None
    summary = revision.summary
    if before is not None:
        summary = _summary(before, revision.yaml, revision.choices)
    return RevisionDifference(
        summary=tuple(summary),
        yaml=differences.lines(old_yaml, revision.yaml, "config.yaml"),
        choices=differences.lines(
            _choices_text(old_choices), _choices_text(revision.choices), "choices"
        ),
    )


def document_of(revision: Revision) -> ConfigDocument:
    """What a revision's config.yaml says, its secrets put back. Raises ConfigError."""
    return secrecy.unmasked(parse(revision.yaml).document)


def rollback(revision: Revision, author: str = "") -> RolledBack:
    """Make the configuration what it was at a revision; that is a revision of its own.

    What was automatic then is automatic again, and so worked out for the machine as it is now.
    What the server learned since stays known. Raises CannotGoBack.
    """
    keep()  # what nobody kept yet can be gone back to as well
    with causes.told(f"back to revision {revision.pk}", author):
        if revision.choices is not None:
            warnings = snapshot.restore(secrecy.unmasked(revision.choices))
        else:
            warnings = _restore_text(revision)
    made = keep()
    return RolledBack(made, tuple(made.summary) if made else (), warnings)


def prune() -> int:
    """Drop the oldest revisions beyond what the settings allow; how many went.

    The newest one stays whatever it takes, and so do edits by hand that wait.
    """
    settings = ServerSettings.current()
    rows = Revision.objects.exclude(kind=Kind.WAITING)
    total = rows.aggregate(total=Sum("size"))["total"] or 0
    count = rows.count()
    limit = settings.revisions_megabytes * MEGABYTE
    if count <= settings.revisions_kept and total <= limit:
        return 0
    gone, kept, size = [], 0, 0
    for pk, taken in rows.values_list("pk", "size"):
        kept, size = kept + 1, size + taken
        if kept > 1 and (kept > settings.revisions_kept or size > limit):
            gone.append(pk)
    for start in range(0, len(gone), 500):
        Revision.objects.filter(pk__in=gone[start : start + 500]).delete()
    secrecy.forget_unused()
    return len(gone)


def masked_text(document: ConfigDocument, found: dict[str, str]) -> str:
    """The config.yaml of a document without its secrets, which are noted in `found`."""
    return HEADER + "\n" + dump(secrecy.masked(tree_of(document), found))


def digest_of(data: bytes) -> str:
    """How a text of config.yaml is known again."""
    return hashlib.sha256(data).hexdigest()


def _catch_up(revision: Revision, version: int) -> None:
    """Changes came and went; their causes must not be told of a later change."""
    if revision.version < version:
        causes.take_words(revision.version, version)
        Revision.objects.filter(pk=revision.pk).update(version=version)


def _summary(
    before: Revision | None, yaml: str, choices: Any, commands: Commands | None = None
) -> list[str]:
    """What people chose otherwise, and what else came of it."""
    if before is None:
        return []
    found = []
    if before.choices is not None and choices is not None:
        found = differences.words_of_choices(before.choices, choices)
    told = " ".join(found)
    served = _served_words(before, yaml, commands)
    return differences.shortened([*found, *(line for line in served if line not in told)])


def _served_words(before: Revision, yaml: str, commands: Commands | None) -> list[str]:
    try:
        if before.choices is None:
            return differences.words(parse(before.yaml).document, parse(yaml).document)
        old, new = _commands(before.yaml), commands or _commands(yaml)
    except ConfigError:
        return []  # written by an older version, in a way that is not read any more
    lines = []
    if added := sorted(new.keys() - old.keys()):
        lines.append(f"now served: {differences.listed(added)}")
    if removed := sorted(old.keys() - new.keys()):
        lines.append(f"no longer served: {differences.listed(removed)}")
    if restarted := sorted(name for name in old.keys() & new.keys() if old[name] != new[name]):
        lines.append(f"started with another command: {differences.listed(restarted)}")
    return lines


def _commands(yaml: str) -> Commands:
    """Each model's command in the text of a revision. Raises ConfigError."""
    known, commands = _newest_commands
    if known == yaml:
        return commands
    return {name: entry.cmd for name, entry in parse(yaml).document.models.items()}


def _remember_commands(yaml: str, commands: Commands) -> None:
    global _newest_commands
    _newest_commands = (yaml, commands)


def _choices_text(choices: Any) -> str:
    return dump(choices) if choices else ""


def _restore_text(revision: Revision) -> tuple[str, ...]:
    try:
        parsed = parse(revision.yaml)
        document = secrecy.unmasked(parsed.document)
        importing.apply(ParsedConfig(document, parsed.warnings), replace=True)
    except ConfigError as error:
        raise CannotGoBack(
            f"{revision} cannot be used any more: {error} Correct its text and import it."
        ) from error
    return ()
