"""How one server follows another: what this one got from the one before, and leaves to the next.

    the process that was started: server, then keeper ------------- keeper ---->
                                        server that followed ----, leaving, gone
                                                        server that followed -->

Whoever started the server knows one process, and that one stays; see `keeper.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from dataclasses import replace

from proxy_app import handover
from proxy_app.errors import ServerStopping
from proxy_app.guarded_engine import Linux
from proxy_app.handover import NONE, Handover
from proxy_app.predecessor import Predecessor
from proxy_app.successor import AlreadyFollowed, NoSuccessor, Successor


class Succession:
    """This server's place in the line."""

    def __init__(self, ours: Handover, predecessor: Predecessor | None = None) -> None:
        """`ours` is what we serve with and can leave to another."""
        self._ours = ours
        self.predecessor = predecessor
        self._channel = NONE
        """The keeper's end of its channel, while this process is to be the keeper."""
        self._preparing = False
        self._next: Successor | None = None
        """Who comes up to follow us, or has."""
        self._ended = False
        self._lock = threading.Lock()

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """This server serves."""
        if self._ours.keeper != NONE:
            loop.add_reader(self._ours.keeper, self._lose_keeper)
            os.write(self._ours.keeper, b"%d\n" % os.getpid())
        if self.predecessor is not None:
            self.predecessor.tell_serving()

    def end(self, successor: Successor | None) -> None:
        """This server stops, for this successor or for good."""
        with self._lock:
            self._ended = True
            if self._next is not None and self._next is not successor:
                self._next.give_up()

    def prepare(self) -> Successor:
        """Start the next server and wait until it could take over. Blocks.

        Raises AlreadyFollowed when another call did so before, ServerStopping when this server
        is told to end meanwhile, and NoSuccessor.
        """
        with self._lock:
            if self._preparing:
                raise AlreadyFollowed
            self._preparing = True
        try:
            successor = self._start_next()
            successor.wait_until_ready()
        except NoSuccessor as error:
            with self._lock:
                self._preparing, self._next = False, None
                if self._ended:
                    raise ServerStopping from error
            raise
        return successor

    def _start_next(self) -> Successor:
        theirs = NONE
        heritage = self._ours
        if heritage.keeper == NONE:
            # We were started first: the next one's orphans become ours, and we stay.
            Linux()
            keepers, servers = socket.socketpair()
            self._forget_channel()
            self._channel, theirs = keepers.detach(), servers.detach()
            heritage = replace(heritage, keeper=theirs)
        try:
            with self._lock:
                if self._ended:
                    raise NoSuccessor("The server is stopping.")
                self._next = Successor(heritage)
                return self._next
        except OSError as error:
            raise NoSuccessor(str(error)) from error
        finally:
            if theirs != NONE:
                os.close(theirs)

    def leave_to(self, successor: Successor, *, told_to_stop: bool) -> None:
        """After the last answer: end, unless this process is known to whoever started it.

        Does not return then, nor when the successor has failed: the server is run anew here, and
        stops again at once when we were told to stop meanwhile.
        """
        if not successor.wait_until_serving():
            handover.pass_on(self._ours, to_stop=told_to_stop)
        if self._ours.keeper == NONE:
            handover.become_keeper(self._channel, successor.pid)

    def _forget_channel(self) -> None:
        if self._channel != NONE:
            os.close(self._channel)
            self._channel = NONE

    def _lose_keeper(self) -> None:
        """Who was killed is the server to everybody else, so its end is ours."""
        os.kill(os.getpid(), signal.SIGKILL)
