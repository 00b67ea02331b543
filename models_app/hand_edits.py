"""config.yaml as a person edits it: taken into the database, or complained about and left alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from models_app import (
    audit,
    catalog,
    causes,
    differences,
    export,
    importing,
    merging,
    revisions,
    secrecy,
)
from models_app.config_yaml import ConfigError, ParsedConfig, parse
from models_app.config_yaml.reading import decoded
from models_app.document import ConfigDocument
from models_app.models import ConfigFile, Revision
from models_app.revisions import digest_of

logger = logging.getLogger(__name__)

CAUSE: Final = "config.yaml edited by hand"

_UNREADABLE: Final = "unreadable"

Kind = Revision.Kind


class NotWaiting(ValueError):
    """The revision is no edit that waits."""


class Stamp(NamedTuple):
    """What a file system tells of a file without reading it."""

    inode: int
    changed_ns: int
    size: int


def stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None when there is none, or none that can be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def take_in() -> bool:
    """Look at config.yaml, and take in what a person changed there. True when something was done.

    A file that cannot be used is left alone, with the reason in the log and in `problems`. An edit
    that contradicts what was changed elsewhere meanwhile is kept beside the file and as a
    revision that waits, and says so in the same places.
    """
    path = export.config_path()
    file = ConfigFile.current()
    try:
        data = export.read_file(path)
    except OSError as error:
        return _complain(file, f"It cannot be read: {error.strerror or error}.", _UNREADABLE)
    if data is None:
        return _forget_problem(file)
    digest = digest_of(data)
    if digest == file.refused_digest:
        return False
    if digest == file.digest or (not file.digest and _was_written(digest)):
        return _forget_problem(file)
    try:
        parsed = parse(decoded(data))
        _take(file, path, data, parsed)
    except ConfigError as error:
        return _complain(file, str(error), digest)
    return True


def is_as_left() -> bool:
    """Whether config.yaml is there as the server wrote it, took it in, or refused it."""
    file = ConfigFile.current()
    try:
        data = export.read_file(export.config_path())
    except OSError:
        return file.refused_digest == _UNREADABLE
    return data is not None and digest_of(data) == (file.refused_digest or file.digest)


def problems() -> list[str]:
    """What a person should know about config.yaml now, ready to be shown."""
    found = []
    text = ConfigFile.objects.values_list("problem", flat=True).first()
    if text:
        found.append(
            f"config.yaml was edited and cannot be used, so it is left alone: {text} The server "
            "goes on with the configuration it has, and writes the file again once it is correct "
            "or deleted."
        )
    for key, summary in Revision.objects.filter(kind=Kind.WAITING).values_list("pk", "summary"):
        found.append(
            f"An edit of config.yaml contradicts what was changed elsewhere at the same time, and "
            f"waits as revision {key}: {differences.listed(summary)}. Apply or dismiss it."
        )
    return found


def waiting() -> Iterable[Revision]:
    """The edits by hand that were not taken in, the newest first."""
    return Revision.objects.filter(kind=Kind.WAITING).select_related("base").defer("yaml")


def apply(revision: Revision, author: str = "") -> importing.ImportReport:
    """Take in an edit that waits: where it contradicts the database, the edit wins.

    Raises NotWaiting, and ConfigError when it cannot be used any more.
    """
    _check_waits(revision)
    parsed = parse(revision.yaml)
    edit = secrecy.unmasked(parsed.document)
    now = catalog.build()
    base = _document_of(revision.base) or now
    merged = merging.merge(base, edit, now).document
    with causes.told(f"edit by hand applied (revision {revision.pk})", author):
        report = importing.apply_edit(ParsedConfig(merged, parsed.warnings), now)
    Revision.objects.filter(pk=revision.pk).update(kind=Kind.APPLIED)
    return report


def dismiss(revision: Revision) -> None:
    """Let an edit that waits go; it stays in the list. Raises NotWaiting."""
    _check_waits(revision)
    Revision.objects.filter(pk=revision.pk).update(kind=Kind.DISMISSED)


def _check_waits(revision: Revision) -> None:
    if revision.kind != Kind.WAITING:
        raise NotWaiting(f"{revision} is no edit that waits.")


def _take(file: ConfigFile, path: Path, data: bytes, parsed: ParsedConfig) -> None:
    """Raises ConfigError when the edit cannot be used."""
    now = catalog.build()
    before = audit.state()
    base = _base_of(file)
    if base is None:
        # A file from elsewhere, in a new home: it adds to what there is.
        with causes.told("config.yaml found in the home folder"):
            report = importing.apply(parsed)
    else:
        merged = merging.merge(base, parsed.document, now)
        if merged.conflicts:
            _set_aside(file, path, data, parsed, merged.conflicts)
            return
        with causes.told(CAUSE):
            report = importing.apply_edit(ParsedConfig(merged.document, parsed.warnings), now)
    _accept(file, data, by_hand=True, taken=parsed.document)
    audit.note_changes(before, CAUSE)
    logger.info("%s was edited by hand and is taken in. %s", path, report)


def _set_aside(
    file: ConfigFile, path: Path, data: bytes, parsed: ParsedConfig, conflicts: tuple[str, ...]
) -> None:
    try:
        kept = export.keep_beside(path, data)
    except OSError as error:
        raise ConfigError(
            "It contradicts what was changed elsewhere, and cannot be kept beside: "
            f"{error.strerror or error}."
        ) from error
    found: dict[str, str] = {}
    yaml = revisions.masked_text(parsed.document, found)
    secrecy.keep(found)
    edit = Revision.objects.create(
        kind=Kind.WAITING,
        cause=CAUSE,
        summary=list(conflicts),
        digest=digest_of(data),
        yaml=yaml,
        size=len(yaml),
        base=file.base,
    )
    _accept(file, data, by_hand=False)
    logger.warning(
        "%s was edited by hand while the configuration was changed elsewhere (%s). The edit is "
        "kept as %s and waits as revision %d: apply or dismiss it in the admin, or with "
        "manage.py config apply %d.",
        path,
        differences.listed(conflicts),
        kept,
        edit.pk,
        edit.pk,
    )


def _accept(
    file: ConfigFile, data: bytes, *, by_hand: bool, taken: ConfigDocument | None = None
) -> None:
    found: dict[str, str] = {}
    taken_yaml = revisions.masked_text(taken, found) if taken else ""
    secrecy.keep(found)
    ConfigFile.objects.filter(pk=file.pk).update(
        digest=digest_of(data),
        by_hand=by_hand,
        taken_yaml=taken_yaml,
        problem="",
        refused_digest="",
    )


def _complain(file: ConfigFile, reason: str, digest: str) -> bool:
    if (file.problem, file.refused_digest) == (reason, digest):
        return False
    ConfigFile.objects.filter(pk=file.pk).update(problem=reason, refused_digest=digest)
    logger.error(
        "%s was edited and cannot be used, so it is left alone: %s The configuration stays as it "
        "is.",
        export.config_path(),
        reason,
    )
    return True


def _forget_problem(file: ConfigFile) -> bool:
    if not file.refused_digest:
        return False
    ConfigFile.objects.filter(pk=file.pk).update(problem="", refused_digest="")
    logger.info("%s can be used again.", export.config_path())
    return True


def _was_written(digest: str) -> bool:
    return Revision.objects.filter(kind=Kind.CHANGE, digest=digest).exists()


def _base_of(file: ConfigFile) -> ConfigDocument | None:
    """What the file said before it was edited; None when nobody knows.

    The next edit may come before the last one is a revision.
    """
    if file.taken_yaml:
        return secrecy.unmasked(parse(file.taken_yaml).document)
    return _document_of(file.base)


def _document_of(revision: Revision | None) -> ConfigDocument | None:
    try:
        return revisions.document_of(revision) if revision else None
    except ConfigError:
        return None  # of a version that wrote what is not read any more
