"""How much of the processors a helper process gets beside the one that serves.

Linux may weigh sessions against each other, and the niceness of processes only within theirs
(sched(7), "The autogroup feature"). The server's helpers have sessions of their own, so being nice
alone would not let anybody go first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from celery import signals

HELPER_NICENESS: Final = 10
"""A tenth of a processor that somebody else wants, all of one that nobody does."""

_SESSION: Final = Path("/proc/self/autogroup")


def let_others_go_first(niceness: int = HELPER_NICENESS) -> None:
    """Give way with the whole session, if this process leads it. It cannot be taken back."""
    if not hasattr(os, "getsid") or os.getsid(0) != os.getpid():
        return  # Somebody's terminal, say, with all that runs in it.
    with suppress(OSError):  # There is no such file where sessions are not weighed.
        _SESSION.write_text(str(niceness))


@signals.worker_init.connect
def _worker(**_: Any) -> None:
    """Scans, downloads and sums of usage come after whatever a model is asked."""
    let_others_go_first()
