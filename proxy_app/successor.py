"""The next server, as the one that still serves sees it.

It is started beside us and brings everything up that does not disturb us: that takes seconds, and
proves that the program on the disk starts. Only then we leave it our socket and our engines, and
finish what we were asked. `predecessor.py` is the other end and tells how the two talk.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from proxy_app import handover
from proxy_app.handover import Handover
from proxy_app.predecessor import READY, SERVING

START_SECONDS = 120.0
"""How long the next server may take to come up beside a busy one."""

TAIL_BYTES = 2000


class NoSuccessor(Exception):
    """The next server did not come up; the message is what it said."""


class AlreadyFollowed(Exception):
    """A next server comes up already, or has; a second one would serve beside it."""


class Successor:
    """A server that was started to follow us."""

    def __init__(self, inheritance: Handover) -> None:
        """Start it. `inheritance` is what we leave to it. Raises OSError."""
        self.serves = False
        """It has taken over."""
        self._ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - copied and closed in `_tell_errors`
        console = os.dup(sys.stderr.fileno())
        heritage = replace(inheritance, predecessor=theirs.fileno(), console=console)
        try:
            self._process = subprocess.Popen(
                handover.command(),
                env=heritage.environment(),
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(
                    heritage.listener,
                    heritage.lock,
                    heritage.keeper,
                    heritage.predecessor,
                    heritage.console,
                ),
                # A terminal's Ctrl-C is for the process it knows, which passes it on.
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(console)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Until it could take over. Blocks; raises NoSuccessor, and nothing is left of it then."""
        self._ours.settimeout(START_SECONDS)
        try:
            said = self._ours.recv(len(READY))
        except ConnectionError:
            said = b""
        except TimeoutError:
            said = b""
            self._errors.write(b"It did not come up in %d s.\n" % START_SECONDS)
        if said != READY:
            self._process.kill()
            self._process.wait()
            self._ours.close()
            raise NoSuccessor(self._said())
        with suppress(OSError, ValueError):
            self._errors.seek(0)
            shutil.copyfileobj(self._errors, sys.stderr.buffer)
        self._errors.close()
        self._ours.settimeout(None)

    def give_up(self) -> None:
        """It is not needed after all."""
        self._process.kill()

    def relieve_us(self, busy: Mapping[str, int]) -> None:
        """Everything is its own now; `busy` counts requests of ours at engines, by model."""
        self._tell({"busy": dict(busy)})

    def tell_done(self, model: str) -> None:
        """One of those requests ended."""
        self._tell({"done": model})

    def wait_until_serving(self) -> bool:
        """Until it serves; False when it ended before that. Blocks."""
        self._ours.setblocking(True)  # An event loop may have watched it.
        while not self.serves and self.hear():
            pass
        if not self.serves:
            self._process.wait()
        return self.serves

    def hear(self) -> bool:
        """What it says next; False when it is gone. Blocks unless there is something to read."""
        try:
            said = self._ours.recv(len(SERVING))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self.serves = self.serves or said == SERVING
        return bool(said)

    def fileno(self) -> int:
        """Of the channel, on which it says what `hear` reads."""
        return self._ours.fileno()

    def pass_on(self, number: int) -> None:
        """Send it a signal that was meant for whoever serves."""
        self._process.send_signal(number)

    def _tell(self, message: dict[str, object]) -> None:
        with suppress(OSError):  # It is gone, and needs no telling.
            self._ours.sendall(json.dumps(message).encode() + b"\n")

    def _said(self) -> str:
        with self._errors as errors:
            errors.seek(0)
            return errors.read().decode(errors="replace")[-TAIL_BYTES:]
