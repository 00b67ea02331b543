"""config.yaml in the server's home: a view of the newest revision, and a way to edit it.

Only the process that serves calls `publish`, so there is one writer. A file that a person edited
is never written over before `hand_edits` has read it, nor while it cannot be used.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from django.conf import settings

from models_app import merging, revisions
from models_app.changes import current_version
from models_app.config_yaml import ConfigError, parse, render
from models_app.config_yaml.nodes import MAX_BYTES
from models_app.document import ConfigDocument
from models_app.models import ConfigFile, Revision
from models_app.revisions import digest_of

logger = logging.getLogger(__name__)

MOST_KEPT: Final = 20
"""Texts of people that are kept beside config.yaml; the oldest go first."""


def config_path() -> Path:
    """Where the server keeps its config.yaml."""
    return Path(settings.CLARACORE_HOME) / "config.yaml"


def publish(document: ConfigDocument, version: int | None = None) -> Revision | None:
    """Note a revision when the configuration changed, and bring config.yaml up to date.

    Returns the new revision, if any. A file that cannot be written is logged and stays as it
    was; the next call tries again. A file with an edit that was not taken in is left alone.
    """
    version = current_version() if version is None else version
    text = render(document)
    revision = revisions.note(document, version, text)
    path = config_path()
    try:
        _bring_up_to_date(path, document, text.encode())
    except OSError as error:
        logger.error(
            "%s could not be written and holds an older configuration: %s. "
            "Make room or mend its rights; it is written with the next change.",
            path,
            error.strerror or error,
        )
    return revision


def read_file(path: Path) -> bytes | None:
    """The bytes of a configuration file, one more than may be at most; None without a file."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def keep_beside(path: Path, data: bytes) -> Path:
    """Put a person's text beside config.yaml, named after what is in it."""
    kept = path.with_name(f"{path.name}.{digest_of(data)[:12]}.kept")
    write_atomically(kept, data)
    others = sorted(path.parent.glob(f"{path.name}.*.kept"), key=lambda file: file.stat().st_mtime)
    for old in others[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
    return kept


def write_atomically(path: Path, data: bytes, unless: Callable[[], bool] = lambda: False) -> bool:
    """Put `data` at `path`, readable by its owner alone: all of it or, on OSError, nothing.

    Nothing either when `unless` says so in the last moment; then it returns False.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if unless():
            os.unlink(name)
            return False
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)
    return True


def _bring_up_to_date(path: Path, document: ConfigDocument, data: bytes) -> None:
    file = ConfigFile.current()
    present = read_file(path)
    if present is not None and present != data:
        digest = digest_of(present)
        if not _is_known(file, digest):
            return  # an edit that nobody looked at yet, or that cannot be used
        if file.by_hand and digest == file.digest:
            if _says(present, document):
                _remember(file, digest, by_hand=True)
                return
            kept = keep_beside(path, present)
            logger.warning(
                "%s is written anew, because something was changed elsewhere. Your text, with its "
                "comments and its order, is kept as %s.",
                path,
                kept,
            )
    if present != data and not write_atomically(path, data, lambda: read_file(path) != present):
        return  # somebody saved an edit meanwhile: it is looked at first
    _remember(file, digest_of(data), by_hand=False)


def _is_known(file: ConfigFile, digest: str) -> bool:
    """Whether a text was taken in, or written by this server."""
    if file.digest:
        return digest == file.digest
    return Revision.objects.filter(kind=Revision.Kind.CHANGE, digest=digest).exists()


def _says(present: bytes, document: ConfigDocument) -> bool:
    """Whether a text means the document, however it is written."""
    try:
        written = parse(present.decode("utf-8-sig")).document
    except (ConfigError, UnicodeDecodeError):
        return False
    return merging.normal(written) == merging.normal(document)


def _remember(file: ConfigFile, digest: str, *, by_hand: bool) -> None:
    newest = revisions.newest()
    values = {"digest": digest, "by_hand": by_hand, "base": newest, "taken_yaml": ""}
    if (file.problem, file.refused_digest) != ("", ""):
        values |= {"problem": "", "refused_digest": ""}
    if any(getattr(file, name) != value for name, value in values.items()):
        ConfigFile.objects.filter(pk=file.pk).update(**values)


def _sync_folder(folder: Path) -> None:
    """Make the new name outlast a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
