"""Who may hear what: one answer for the event stream and the log streams (pure)."""

from __future__ import annotations

from typing import Final

from proxy_app.keys import Caller
from proxy_app.records import Line

KINDS: Final = (
    "modelStatus",
    "logData",
    "metrics",
    "downloadProgress",
    "engineProgress",
    "configProgress",
    "queue",
    "notice",
)


def may_hear(caller: Caller, kind: str) -> bool:
    """Whether this caller is told messages of a kind; "logs" stands for the log streams.

    Who uses models sees which of them are loaded, and the `metrics` of their own requests
    (`is_own`). What others do, and what the server says of itself, is for those who
    manage all models.
    """
    return kind == "modelStatus" or caller.rights.manages_all


def is_own(caller: Caller, line: Line) -> bool:
    """Whether a request was this caller's: made with the same key, or by the same person."""
    if caller.key_id is not None and caller.key_id == line.key_id:
        return True
    person = caller.rights.person_id
    return person != 0 and person == line.person_id
