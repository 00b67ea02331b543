"""Has what is still on its way to the database arrive there, for those who read it now."""

from __future__ import annotations

import logging
from contextlib import suppress

from django.db import DatabaseError

from proxy_app import questions, usage
from proxy_app.drain import folder
from proxy_app.errors import NotServing
from proxy_app.journal import segments
from proxy_app.models import JournalMark

logger = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024
"""About a thousand requests. Of more the worker takes care; readers are then a second behind."""


def catch_up() -> None:
    """Take over the requests that ended until now. Called in a thread."""
    with suppress(NotServing):
        questions.ask("flush")
    try:
        if _waiting_bytes() <= MOST_BYTES:
            usage.drain(folder())
    except (DatabaseError, OSError) as error:
        logger.warning("The newest usage could not be taken over yet: %s", error)


def _waiting_bytes() -> int:
    marks = dict(JournalMark.objects.values_list("segment", "offset"))
    waiting = 0
    for segment in segments(folder()):
        with suppress(FileNotFoundError):  # A drain has just removed it.
            waiting += segment.stat().st_size - marks.get(segment.name, 0)
    return waiting
