"""Work that waits for nobody lets everything else on this machine go first."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final

import psutil

NICENESS: Final = 10
"""About a tenth of a processor that somebody else wants, all of one that nobody does. At 19 a
machine whose every core computes tokens would bring a download to a stand."""


def step_back() -> None:
    """Let the calling thread, and those it starts, take processor and disk after all others.

    It cannot be taken back. On systems other than Linux it does nothing: there a process has one
    priority for all its threads, and the leases of downloads are kept by this one.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError, psutil.Error):  # A container may forbid it.
        if os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
        psutil.Process(thread).ionice(psutil.IOPRIO_CLASS_IDLE)
