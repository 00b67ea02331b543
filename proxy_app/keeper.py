"""What is left of the process that was started, after its server was followed by another.

Run as `python -I -S -B keeper.py CHANNEL SERVER`. A service manager, a container or a terminal
knows the server by the process that it started. So that one stays: it passes signals on to the
server that serves now, reaps what the servers leave, and ends as that server does.

CHANNEL is one end of a socket pair; the servers hold the other one. Each writes its process id and
a newline when it begins to serve. A server that finds the channel closed ends at once, as if it
had been killed in our place. SERVER is the process id until one has been read.
"""

from __future__ import annotations

import os
import select
import signal
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Keeper:
    """Stands in for one server after the other."""

    def __init__(self, channel: int, server: int) -> None:
        self._channel = channel
        self._server = server
        self._wakeup, wake = os.pipe()
        for descriptor in (channel, self._wakeup, wake):
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*PASSED_ON, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)

    def run(self) -> NoReturn:
        """Until the server has ended."""
        signals: bytes = bytes([signal.SIGCHLD])  # Some may have ended before we came.
        while True:
            # First of all: which one it is that ends, or gets the signal.
            hears = self._hear()
            for number in signals:
                if number == signal.SIGCHLD:
                    self._reap()
                else:
                    self._pass_on(number)
            if not hears:
                # Where orphans are not given to us, nobody can tell how they ended.
                leave(0)
            select.select([self._channel, self._wakeup], [], [])
            signals = self._caught()

    def _hear(self) -> bool:
        """Read who serves now; False when no server is left."""
        try:
            said = os.read(self._channel, 4096)
        except BlockingIOError:
            return True
        if said:
            self._server = int(said.split()[-1])
        return bool(said)

    def _caught(self) -> bytes:
        try:
            return os.read(self._wakeup, 4096)
        except BlockingIOError:
            return b""

    def _pass_on(self, number: int) -> None:
        try:
            os.kill(self._server, number)
        except ProcessLookupError:
            return

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._server:
                    leave(ended[1])
        except ChildProcessError:
            return


def leave(status: int) -> NoReturn:
    """End as the server did."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    number = -code
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The first process of a container cannot be killed from within.
    os._exit(128 + number)


if __name__ == "__main__":
    Keeper(int(sys.argv[1]), int(sys.argv[2])).run()
