"""From one run of the server to the next in the same process: what survives `exec`.

The listening socket is never closed, so whoever connects meanwhile waits a moment instead of being
refused; the lock of the home folder is never given up, so no other server can step in.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import NoReturn

VARIABLE = "SERVER_HANDOVER"
"""Not one of the settings: it never outlives the start of the server."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Inherited descriptors."""

    listener: int
    lock: int

    def socket(self) -> socket.socket:
        """The listening socket, no longer inherited by children."""
        listener = socket.socket(fileno=self.listener)
        listener.set_inheritable(False)
        return listener


def take() -> Handover | None:
    """What an earlier run in this process left; None when there was none."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    listener, _, lock = text.partition(",")
    return Handover(int(listener), int(lock))


def pass_on(handover: Handover) -> NoReturn:
    """Run the server's command once more in place of this process. Raises OSError."""
    for descriptor in (handover.listener, handover.lock):
        os.set_inheritable(descriptor, True)
    os.environ[VARIABLE] = f"{handover.listener},{handover.lock}"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
