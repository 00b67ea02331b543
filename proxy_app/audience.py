"""Who may hear what: one answer for the event stream and the log streams (pure)."""

from __future__ import annotations

from typing import Final

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

    Callers have no roles: whoever the key guard let in hears everything. Whoever was not let in
    does not get here.
    """
    return True
