"""Who changed the configuration, and why: noted beside the change, told by its revision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import DatabaseError, transaction

from models_app.changes import current_version
from models_app.models import ChangeClock, ChangeNote, Revision

logger = logging.getLogger(__name__)

MAX_CAUSE = 255
MAX_AUTHOR = 150


@dataclass
class _Act:
    cause: str
    author: str


_acting: ContextVar[_Act | None] = ContextVar("acting", default=None)


@contextmanager
def told(cause: str, author: str = "") -> Iterator[None]:
    """What changes inside is done by `author` because of `cause`, in a few words.

    Within another one the inner cause, being the closer one, is what is told. Do not open it
    inside a transaction: what is not committed may not count as changed yet.
    """
    outer = _acting.get()
    if outer is not None:
        outer.cause = cause
        outer.author = author or outer.author
        yield
        return
    act = _Act(cause, author)
    token = _acting.set(act)
    before = current_version()
    try:
        yield
    finally:
        _acting.reset(token)
        _note(act, before)


def take_words(before: int, version: int) -> tuple[str, str]:
    """Cause and author of what changed from one version to another. What is told is dropped.

    Call it in the transaction that makes the revision, after `lock_clock`.
    """
    notes = ChangeNote.objects.filter(to_version__gt=before, from_version__lt=version)
    causes = dict.fromkeys(note.cause for note in notes.order_by("pk"))
    authors = dict.fromkeys(note.author for note in notes.order_by("pk") if note.author)
    ChangeNote.objects.filter(to_version__lte=version).delete()
    return _joined(causes, MAX_CAUSE), _joined(authors, MAX_AUTHOR)


def lock_clock() -> None:
    """Keep others from making a revision or a note until this transaction ends."""
    ChangeClock.objects.select_for_update().filter(pk=1).first()


def _note(act: _Act, before: int) -> None:
    try:
        _write(act, before)
    except DatabaseError as error:
        # What was done is done; a full disk must not make it look as if it had failed.
        logger.warning("It could not be noted that this was changed: %s (%s)", act.cause, error)


def _write(act: _Act, before: int) -> None:
    after = current_version()
    if after == before:
        return
    cause, author = act.cause[:MAX_CAUSE], act.author[:MAX_AUTHOR]
    with transaction.atomic():
        lock_clock()
        # A revision may have been made of it already, without knowing why.
        late = Revision.objects.filter(version__gt=before, version__lte=after, cause="")
        late.update(cause=cause, author=author)
        newest = Revision.objects.filter(kind=Revision.Kind.CHANGE).first()
        if newest is None or newest.version < after:
            ChangeNote.objects.create(
                from_version=before, to_version=after, cause=cause, author=author
            )


def _joined(words: dict[str, None], limit: int) -> str:
    text = "; ".join(words)
    return text if len(text) <= limit else text[: limit - 1] + "…"
