"""What one run of the server leaves to the next, so that nobody is refused in between.

The listening socket is never closed, so whoever connects meanwhile waits a moment; the lock of the
home folder is never given up, so no other server can step in.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, NoReturn

VARIABLE = "SERVER_HANDOVER"
"""Not one of the settings: it never outlives the start of the server."""

NONE = -1

TO_STOP: Final = "SERVER_TO_STOP"
"""Set for a server that is run to end what another one left, and to stop."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a keeper passes on to the server."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Inherited descriptors; NONE for those that there are not."""

    listener: int
    lock: int
    keeper: int = NONE
    """Our end of the channel to the process that was started first; see `keeper.py`."""
    predecessor: int = NONE
    """Our end of the channel to the server that still runs; see `predecessor.py`."""
    console: int = NONE
    """Where errors go once the server is known to start."""

    def socket(self) -> socket.socket:
        """The listening socket, no longer inherited by children."""
        listener = socket.socket(fileno=self.listener)
        listener.set_inheritable(False)
        return listener

    def environment(self) -> dict[str, str]:
        """This process's own, with the descriptors for the next run."""
        return {**os.environ, VARIABLE: ",".join(map(str, astuple(self)))}


def take() -> Handover | None:
    """What an earlier run left to this process; None when there was none."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    before = Handover(*map(int, text.split(",")))
    for descriptor in (before.keeper, before.predecessor, before.console):
        if descriptor != NONE:
            os.set_inheritable(descriptor, False)
    return before


def command() -> list[str]:
    """What this server was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def pass_on(handover: Handover, *, to_stop: bool = False) -> NoReturn:
    """Run the server's command once more in place of this process. Raises OSError.

    PASSED_ON must be blocked. One that came meanwhile, as `to_stop` says of an earlier one, is not
    lost: the server that is run takes over what there is, ends it in order, and stops.
    """
    while signal.sigpending() & set(PASSED_ON):
        signal.sigwait(PASSED_ON)
        to_stop = True
    environment = handover.environment()
    if to_stop:
        environment[TO_STOP] = "1"
    for descriptor in astuple(handover):
        if descriptor != NONE:
            os.set_inheritable(descriptor, True)
    _flush()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    os.execve(sys.executable, command(), environment)


def become_keeper(channel: int, server: int) -> NoReturn:
    """Stay as the small process that answers for the server in front of whoever started us.

    PASSED_ON must be blocked; the keeper lets them through when it can pass them on.
    """
    os.set_inheritable(channel, True)
    _flush()
    program = Path(__file__).with_name("keeper.py")
    options = ("-I", "-S", "-B", "-OO", "-X", "utf8")
    os.execv(sys.executable, [sys.executable, *options, str(program), str(channel), str(server)])


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
