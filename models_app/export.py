"""Keeps revisions of the configuration, and config.yaml as a view of the newest.

Only the process that serves calls `publish`, so there is one writer.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from models_app.config_yaml import render
from models_app.document import ConfigDocument
from models_app.models import Revision

logger = logging.getLogger(__name__)


def config_path() -> Path:
    """Where the server keeps its config.yaml."""
    return Path(settings.CLARACORE_HOME) / "config.yaml"


def publish(document: ConfigDocument) -> Revision | None:
    """Note a revision when the configuration changed, and bring config.yaml up to date.

    Returns the new revision, if any. A file that cannot be written is logged and stays as it
    was; the next call tries again.
    """
    text = render(document)
    revision = _note(text)
    path = config_path()
    try:
        _bring_up_to_date(path, text.encode())
    except OSError as error:
        logger.error(
            "%s could not be written and holds an older configuration: %s. "
            "Make room or mend its rights; it is written with the next change.",
            path,
            error.strerror or error,
        )
    return revision


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`, readable by its owner alone: all of it or, on OSError, nothing."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def _note(text: str) -> Revision | None:
    digest = _digest(text.encode())
    newest = Revision.objects.values_list("digest", flat=True).first()
    if newest == digest:
        return None
    return Revision.objects.create(digest=digest, yaml=text)


def _bring_up_to_date(path: Path, data: bytes) -> None:
    present = _read(path)
    if present == data:
        return
    if present and not Revision.objects.filter(digest=_digest(present)).exists():
        # Somebody's own file: one from another server, or one edited by hand.
        kept = path.with_name(f"{path.name}.{_digest(present)[:12]}.kept")
        write_atomically(kept, present)
        logger.warning("%s was not written by this server; it is kept as %s.", path, kept)
    write_atomically(path, data)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the new name outlast a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
