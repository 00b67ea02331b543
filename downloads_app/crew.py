"""The connections that fetch a file's pieces side by side."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

import requests
import urllib3

from downloads_app.halt import Stopped
from downloads_app.pacing import Bandwidth, Width
from downloads_app.pieces import MIB, Pieces, Run
from downloads_app.remote import STALL_SECONDS, Remote, ask, host_of, refusal, span_of, tag_of
from downloads_app.stage import Stage
from downloads_app.trouble import Kind, Trouble, of_network

READ_BYTES = 256 * 1024
SLOWEST = 1024
"""Bytes per second below which a connection counts as stalled."""

REQUEST_SECONDS = 10.0
"""About how long one request shall bring bytes, so that its round trip does not matter."""

LONGEST_REQUEST = 256 * MIB

PASSING = frozenset({Kind.CONNECTION, Kind.STALLED})
PASSING_BYTES = MIB
"""What has to arrive between two such failures for the others to go on as if nothing was."""


class Crew:
    """Fetches what is missing of one file until it is whole, or something is wrong."""

    def __init__(
        self,
        remote: Remote,
        token: str,
        stage: Stage,
        pieces: Pieces,
        *,
        stopped: threading.Event,
        limits: Sequence[Bandwidth] = (),
        session: Callable[[], requests.Session] = requests.Session,
    ) -> None:
        self._remote = remote
        self._token = token if remote.secret else ""
        self._stage = stage
        self._pieces = pieces
        self._stopped = stopped
        self._limits = limits
        self._session = session
        self._quit = threading.Event()
        self._condition = threading.Condition()
        self._members: set[threading.Thread] = set()
        self._speeds: dict[int, float] = {}
        self._replies: dict[int, requests.Response] = {}
        self.received = 0
        """Bytes that came in, those of unfinished pieces included."""
        self.trouble: Trouble | None = None
        """The first thing that went wrong; everybody stops then."""
        self.passed = 0
        """Failures of single connections that did not stop the others."""
        self._received_at_failure = 0
        self.differing: set[int] = set()
        """Pieces that came once more and were not what had come before."""

    def work(self, width: Width, tick: Callable[[], None], *, every: float = 0.25) -> None:
        """Fetch until all is here. Raises Stopped, or Trouble with what went wrong.

        `tick` is called about every `every` seconds, in this thread.
        """
        self._quit.clear()
        self.trouble = None
        try:
            while not self._over():
                self._hire(width.wanted)
                with self._condition:
                    self._condition.wait(every)
                tick()
        finally:
            self._quit.set()
            self._wake()
            for member in list(self._members):
                member.join()
        if self._stopped.is_set():
            raise Stopped
        trouble = self._first_trouble()
        if trouble is not None and not self._pieces.complete:
            raise trouble

    def _wake(self) -> None:
        """End the reads of connections on which nothing comes."""
        with self._condition:
            replies = list(self._replies.values())
        for reply in replies:
            # It may have ended by itself meanwhile.
            with suppress(RuntimeError, ValueError, OSError, AttributeError):
                reply.raw.shutdown()

    def _first_trouble(self) -> Trouble | None:
        with self._condition:
            return self.trouble

    def _over(self) -> bool:
        with self._condition:
            stop = self._stopped.is_set() or self.trouble is not None
            return stop or self._pieces.complete

    def _hire(self, wanted: int) -> None:
        while len(self._members) < wanted and not self._over():
            with self._condition:
                run = self._pieces.take(self._length())
            if run is None:
                return
            member = threading.Thread(target=self._serve, args=(run,), daemon=True)
            self._members.add(member)
            member.start()

    def _length(self) -> int:
        """Pieces that one request shall bring."""
        speed = max(self._speeds.values(), default=0.0)
        wished = min(max(2 * self._pieces.piece, speed * REQUEST_SECONDS), LONGEST_REQUEST)
        return max(1, int(wished / self._pieces.piece))

    def _serve(self, first: Run) -> None:
        """One connection's life: run after run until none is left."""
        run: Run | None = first
        try:
            with closing(self._session()) as session:
                while run is not None and not self._must_stop():
                    self._fetch(session, run)
                    with self._condition:
                        self._pieces.give_back(run)
                        run = self._pieces.take(self._length())
        except Trouble as trouble:
            self._report(trouble)
        except Stopped:
            pass
        finally:
            with self._condition:
                if run is not None:
                    self._pieces.give_back(run)
                self._speeds.pop(threading.get_ident(), None)
                self._replies.pop(threading.get_ident(), None)
                self._members.discard(threading.current_thread())
                self._condition.notify_all()

    def _must_stop(self) -> bool:
        return self._quit.is_set() or self._stopped.is_set()

    def here(self) -> int:
        """Bytes that are here, those of unfinished pieces included."""
        with self._condition:
            return self._pieces.bytes_here

    def _report(self, trouble: Trouble) -> None:
        with self._condition:
            new = self.received - self._received_at_failure
            if trouble.kind in PASSING and len(self._members) > 1 and new >= PASSING_BYTES:
                self.passed, self._received_at_failure = self.passed + 1, self.received
                return  # Another connection is taken in its place.
            if self.trouble is None:
                self.trouble = trouble
            self._quit.set()

    def _fetch(self, session: requests.Session, run: Run) -> None:
        """One request for all pieces of a run."""
        start = self._pieces.start(run.next) + run.got
        end = self._pieces.start(run.end - 1) + self._pieces.length(run.end - 1) - 1
        headers = {"Range": f"bytes={start}-{end}"}
        if self._remote.tag.startswith('"'):  # Only a strong tag may stand for the same bytes.
            headers["If-Range"] = self._remote.tag
        reply = ask(session, self._remote.url, self._token, headers)
        with reply:
            with self._condition:
                self._replies[threading.get_ident()] = reply
            if self._must_stop():
                raise Stopped
            self._check(reply, start)
            try:
                self._receive(reply, run)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self._cut(error) from error

    def _check(self, reply: requests.Response, start: int) -> None:
        host = host_of(self._remote.url)
        span = span_of(reply.headers)
        sizes = (None, self._pieces.size)
        right = span is not None and span.first == start and span.size in sizes
        if reply.status_code == 206 and right and tag_of(reply.headers) == self._remote.tag:
            return
        if reply.status_code in (200, 206, 416):
            text = f"{host} sends another part of the file than it was asked for, or another file."
            raise Trouble(Kind.CHANGED, text)
        raise refusal(reply, host)

    def _receive(self, reply: requests.Response, run: Run) -> None:
        began, count = time.monotonic(), 0
        more = True
        while more:
            number = run.next
            start, length = self._pieces.start(number), self._pieces.length(number)
            while run.got < length:
                data = reply.raw.read1(min(length - run.got, READ_BYTES))
                if not data:
                    text = f"{host_of(self._remote.url)} cut the connection."
                    raise Trouble(Kind.CONNECTION, text)
                self._stage.write(data, start + run.got)
                run.crc = zlib.crc32(data, run.crc)
                run.got, count = run.got + len(data), count + len(data)
                self._account(len(data), count, time.monotonic() - began)
            more = self._arrived(run, number, run.crc)

    def _account(self, length: int, count: int, seconds: float) -> None:
        with self._condition:
            self.received += length
            if seconds > 1:
                self._speeds[threading.get_ident()] = count / seconds
        for limit in self._limits:
            limit.spend(length, self._stopped)
        if self._must_stop():
            raise Stopped
        if seconds > STALL_SECONDS and count < SLOWEST * seconds:
            raise Trouble(Kind.STALLED, f"{host_of(self._remote.url)} sends next to nothing.")

    def _arrived(self, run: Run, number: int, crc: int) -> bool:
        same = self._stage.enter(number, crc)
        with self._condition:
            if not same:
                self.differing.add(number)
            more = self._pieces.arrived(run)
            if self._pieces.complete:
                self._condition.notify_all()
        return more

    def _cut(self, error: Exception) -> Trouble:
        host = host_of(self._remote.url)
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return of_network(requests.Timeout(), host)
        return of_network(requests.ConnectionError(), host)
