"""Who may hear what: one answer for the event stream and the log streams (pure)."""

from __future__ import annotations

from typing import Final

from models_app.rights import Scope
from proxy_app.keys import Caller

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

    Who uses models sees which of them are loaded. What others do, and what the server says of
    itself, is for those who manage it.
    """
    return kind == "modelStatus" or caller.rights.may(Scope.MANAGE)
